// SPDX-License-Identifier: MIT
/* The model checker's command line.
 *
 *   mc [--seconds N] [--deep] [--model NAME] [--bound N|all] [--sc | --tso] [--quiet]
 *
 * Without --model every model runs, sequentially consistent and with store buffers, and shares the
 * seconds (120): each may use one at first; those that it cuts short share the rest in a second try.
 * Ends with 1 if a model is violated.
 */
#include "explore.h"

#include <stdio.h>
#include <string.h>

#undef malloc
#undef calloc
#undef free

#define FIRST_TRY 1.0 /* seconds */

struct options {
    double seconds;
    bool deep, sc, tso, quiet;
    const char *model;
    int bound; /* -3: the model's own */
};

static int
usage(const char *text)
{
    fprintf(stderr,
            "mc: %s\nusage: mc [--seconds N] [--deep] [--model NAME] [--bound N|all] "
            "[--sc | --tso] [--quiet]\n",
            text);
    return 2;
}

static int
parse(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--deep") == 0) {
            o->deep = true;
        }
        else if (strcmp(argv[i], "--quiet") == 0) {
            o->quiet = true;
        }
        else if (strcmp(argv[i], "--sc") == 0) {
            o->tso = false;
        }
        else if (strcmp(argv[i], "--tso") == 0) {
            o->sc = false;
        }
        else if (value == NULL) {
            return usage("an option lacks its value");
        }
        else if (strcmp(argv[i], "--seconds") == 0) {
            o->seconds = atof(argv[++i]);
        }
        else if (strcmp(argv[i], "--model") == 0) {
            o->model = argv[++i];
        }
        else if (strcmp(argv[i], "--bound") == 0) {
            o->bound = strcmp(argv[++i], "all") == 0 ? -1 : atoi(argv[i]);
        }
        else {
            return usage("unknown option");
        }
    }
    return 0;
}

static void
bound_text(char *text, size_t size, int bound)
{
    if (bound == -1) {
        snprintf(text, size, "all");
    }
    else {
        snprintf(text, size, "<=%d", bound);
    }
}

/* One line, and the trace of a violation. */
static bool
report(const struct mc_model *model, bool tso, const struct mc_result *r, bool quiet)
{
    char tried[16], done[16] = "none";
    bound_text(tried, sizeof tried, r->tried);
    if (r->done != -2) {
        bound_text(done, sizeof done, r->done);
    }
    printf("%-24s %-4s preemptions %-4s exhausted %-3s (%s) %10llu states %9llu ends %7.2f s\n",
           model->name, tso ? "tso" : "sc", tried, r->exhausted ? "yes" : "no", done,
           (unsigned long long)r->states, (unsigned long long)r->ends, r->seconds);
    if (r->violation != NULL) {
        printf("violation: %s (%s)\n", r->violation, r->detail);
        if (!quiet) {
            mc_print_trace(r);
        }
    }
    fflush(stdout);
    return r->violation == NULL;
}

static int
bound_of(const struct options *o, const struct mc_model *model, bool tso)
{
    if (o->bound != -3) {
        return o->bound;
    }
    int bound = tso ? model->ci_tso_bound : model->ci_bound;
    return bound == -2 || !o->deep ? bound : -1;
}

static bool
wanted(const struct options *o, const struct mc_model *model, bool tso)
{
    return (tso ? o->tso : o->sc) &&
           (o->model == NULL || strncmp(model->name, o->model, strlen(o->model)) == 0) &&
           bound_of(o, model, tso) != -2;
}

struct run {
    const struct mc_model *model;
    bool tso;
};

/* Runs what is listed and keeps those that the limit cut short, which come again unless `last`. */
static size_t
run_all(const struct options *o, struct run *runs, size_t count, double *left, bool last,
        int *violated)
{
    size_t cut = 0;
    for (size_t i = 0; i < count; i++) {
        struct run run = runs[i];
        struct mc_result r;
        double share = *left / (double)(count - i);
        double limit = !last ? FIRST_TRY : share > *left * 0.3 ? share : *left * 0.3;
        mc_explore(run.model, bound_of(o, run.model, run.tso), run.tso, limit, &r);
        *left -= r.seconds;
        if (r.violation == NULL && !r.exhausted) {
            runs[cut++] = run;
            if (!last) {
                continue;
            }
        }
        *violated += !report(run.model, run.tso, &r, o->quiet);
    }
    return cut;
}

int
main(int argc, char **argv)
{
    struct options o = {.seconds = 120, .sc = true, .tso = true, .bound = -3};
    int bad = parse(&o, argc, argv);
    if (bad != 0) {
        return bad;
    }
    struct run *runs = calloc(2 * mc_model_count, sizeof *runs);
    size_t count = 0;
    for (size_t i = 0; i < 2 * mc_model_count; i++) {
        if (wanted(&o, &mc_models[i / 2], i % 2 == 1)) {
            runs[count++] = (struct run){&mc_models[i / 2], i % 2 == 1};
        }
    }
    if (count == 0) {
        return usage("no such model");
    }
    double left = o.seconds;
    int violated = 0;
    size_t cut = run_all(&o, runs, count, &left, false, &violated);
    cut = run_all(&o, runs, cut, &left, true, &violated);
    printf("%zu configurations, %d violated, %zu cut short by the time limit, %.1f s\n", count,
           violated, cut, o.seconds - left);
    free(runs);
    return violated > 0;
}
