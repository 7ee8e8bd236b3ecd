node 1: alpha
primitive ip IPaddr2 params ip=10.0.0.5
