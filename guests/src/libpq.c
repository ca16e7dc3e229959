/* A C client of PostgreSQL, as one would write it: libpq's blocking calls, and poll for a timeout. */

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

PGconn *guest_connect(const char *where) {
    return PQconnectdb(where);
}

int guest_is_connected(const PGconn *connection) {
    return PQstatus(connection) == CONNECTION_OK;
}

void guest_finish(PGconn *connection) {
    PQfinish(connection);
}

/* Waits for the answer, so many milliseconds at most. */
static int await(PGconn *connection, int timeout_ms) {
    while (PQisBusy(connection)) {
        struct pollfd file = {.fd = PQsocket(connection), .events = POLLIN};
        int ready = poll(&file, 1, timeout_ms);
        if (ready < 0) {
            return -1;
        }
        if (ready == 0) {
            return 1;
        }
        if (!PQconsumeInput(connection)) {
            return -1;
        }
    }
    return 0;
}

/* Asks for one value. Without a timeout (-1) libpq does all the waiting. 0 is success; anything else leaves an
   error's text in `answer`. */
int guest_ask(PGconn *connection, const char *question, int timeout_ms, char *answer, size_t room) {
    PGresult *result;
    int failed;

    if (timeout_ms < 0) {
        result = PQexec(connection, question);
    } else {
        int waited = PQsendQuery(connection, question) ? await(connection, timeout_ms) : -1;
        if (waited != 0) {
            const char *text = waited > 0 ? "timed out" : PQerrorMessage(connection);
            snprintf(answer, room, "%s", text);
            return 1;
        }
        result = PQgetResult(connection);
    }
    failed = PQresultStatus(result) != PGRES_TUPLES_OK;
    snprintf(answer, room, "%s",
             failed ? PQresultErrorMessage(result) : PQgetvalue(result, 0, PQnfields(result) - 1));
    PQclear(result);
    return failed;
}
