/* Lookups that take their time: this stands between the patch and libc. Names that begin with "slow" are
   127.0.0.7 after SLOW_MS; some others are errors; everything else is libc's. Counts the lists that nobody
   has freed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <netdb.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { SLOW_MS = 600 };

static atomic_int alive;

int alive_lists(void) {
    return alive;
}

static atomic_int had_own_locale;

/* Whether whoever made the last lookup of addresses had a locale of its OS thread's own. */
int asked_with_own_locale(void) {
    return had_own_locale;
}

static void be_slow(void) {
    struct timespec time = {0, SLOW_MS * 1000000L};
    nanosleep(&time, NULL);
}

static int is_slow(const char *name) {
    return name != NULL && strncmp(name, "slow", 4) == 0;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        dlsym(RTLD_NEXT, "getaddrinfo");
    had_own_locale = uselocale((locale_t)0) != LC_GLOBAL_LOCALE;
    if (host != NULL && strcmp(host, "again") == 0)
        return EAI_AGAIN;
    if (host != NULL && strcmp(host, "system") == 0) {
        errno = EMFILE;
        return EAI_SYSTEM;
    }
    if (is_slow(host)) {
        be_slow();
        host = "127.0.0.7";
    }
    int code = next(host, service, hints, found);
    alive += code == 0;
    return code;
}

void freeaddrinfo(struct addrinfo *list) {
    void (*next)(struct addrinfo *) = dlsym(RTLD_NEXT, "freeaddrinfo");
    alive -= list != NULL;
    next(list);
}

int getnameinfo(const struct sockaddr *address, socklen_t length, char *host, socklen_t host_room,
                char *service, socklen_t service_room, int flags) {
    int (*next)(const struct sockaddr *, socklen_t, char *, socklen_t, char *, socklen_t, int) =
        dlsym(RTLD_NEXT, "getnameinfo");
    be_slow();
    return next(address, length, host, host_room, service, service_room, flags);
}

int gethostbyname_r(const char *name, struct hostent *entry, char *start, size_t room,
                    struct hostent **found, int *h_errno_of_call) {
    int (*next)(const char *, struct hostent *, char *, size_t, struct hostent **, int *) =
        dlsym(RTLD_NEXT, "gethostbyname_r");
    if (strcmp(name, "system") == 0) {
        *found = NULL;
        *h_errno_of_call = NETDB_INTERNAL;
        errno = EMFILE;
        return EMFILE;
    }
    if (is_slow(name)) {
        be_slow();
        name = "127.0.0.7";
    }
    return next(name, entry, start, room, found, h_errno_of_call);
}
