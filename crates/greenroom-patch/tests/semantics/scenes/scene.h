/* A call of libc's with what it is asked of, and what somebody else does meanwhile to end it. */

#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

/* What a call is asked of. Numbers of files that are not -1 are closed in the end. */
struct scene {
    int a, b, c, d;
    pid_t child;
    /* What stood for the standard files before, or -1. */
    int standard[3];
};

struct row {
    const char *name;
    /* On the OS thread that is to call. */
    void (*set_up)(struct scene *);
    /* Whether the answer is what it should be. */
    int (*call)(struct scene *);
    /* On another OS thread. */
    void (*end)(struct scene *);
};

/* Each ends with a row without a name. */
extern const struct row WAITS[], PASSES[], FAULTS[];

/* For what cannot fail here. */
void must(int went_well, const char *what);
#define MUST(condition) must((condition) != 0, #condition)

void nothing(struct scene *);
void stream(struct scene *);
void empty_pipe(struct scene *);
void full_stream(struct scene *);
void full_pipe(struct scene *);
/* Writes to `b`. */
void feed(struct scene *);
/* Takes from `b`, or from a pipe's `a`, all that is there. */
void drain_stream(struct scene *);
void drain_pipe(struct scene *);
