/* PID 1 of every pod: holds the pod's namespaces, reaps orphans, ends when told to. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void finish(int sign) {
    (void)sign;
    _exit(0);
}

static void reap(int sign) {
    (void)sign;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int main(void) {
    signal(SIGINT, finish);
    signal(SIGTERM, finish);
    signal(SIGCHLD, reap);
    for (;;) pause();
}
