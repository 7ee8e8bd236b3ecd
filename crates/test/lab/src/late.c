/* Every flush of the program that this is loaded into takes longer, by STANDFAST_LAB_FSYNC_MS milliseconds. Its children are
   left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec late;

__attribute__((constructor)) static void begin(void) {
    const char *given = getenv("STANDFAST_LAB_FSYNC_MS");
    long ms = given ? atol(given) : 0;
    late.tv_sec = ms / 1000;
    late.tv_nsec = ms % 1000 * 1000000;
    unsetenv("LD_PRELOAD");
}

static int flush(long call, int file) {
    nanosleep(&late, NULL);
    return (int)syscall(call, file);
}

int fsync(int file) { return flush(SYS_fsync, file); }
int fdatasync(int file) { return flush(SYS_fdatasync, file); }
