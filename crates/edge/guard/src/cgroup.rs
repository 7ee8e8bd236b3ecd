//! Control groups (cgroup2): find the hierarchy, make a group, freeze it, kill it, see that it is empty, remove it.
