// SPDX-License-Identifier: MIT
/* The model checker's command line.
 *
 *   mc [--seconds N] [--deep] [--model NAME] [--bound N|all] [--sc | --tso] [--quiet]
 *
 * Without --model every model runs, sequentially consistent and with store buffers, and shares the
 * seconds (120): each may use half of what is left.  Ends with 1 if a model is violated.
 */
#include "explore.h"

#include <stdio.h>
#include <string.h>

#undef malloc
#undef calloc
#undef free

struct options {
    double seconds;
    bool deep, sc, tso, quiet;
    const char *model;
    int bound; /* -3: the model's own */
};

static int
usage(const char *text)
{
    fprintf(stderr, "mc: %s\nusage: mc [--seconds N] [--deep] [--model NAME] [--bound N|all] "
                    "[--sc | --tso] [--quiet]\n", text);
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

int
main(int argc, char **argv)
{
    struct options o = {.seconds = 120, .sc = true, .tso = true, .bound = -3};
    int bad = parse(&o, argc, argv);
    if (bad != 0) {
        return bad;
    }
    int runs = 0, violated = 0, cut = 0, done = 0;
    for (size_t i = 0; i < 2 * mc_model_count; i++) {
        runs += wanted(&o, &mc_models[i / 2], i % 2 == 1);
    }
    if (runs == 0) {
        return usage("no such model");
    }
    double left = o.seconds;
    for (size_t i = 0; i < 2 * mc_model_count; i++) {
        const struct mc_model *model = &mc_models[i / 2];
        bool tso = i % 2 == 1;
        if (!wanted(&o, model, tso)) {
            continue;
        }
        struct mc_result r;
        mc_explore(model, bound_of(&o, model, tso), tso, done + 1 < runs ? left / 2 : left, &r);
        left -= r.seconds;
        done++;
        cut += r.violation == NULL && !r.exhausted;
        violated += !report(model, tso, &r, o.quiet);
    }
    printf("%d configurations, %d violated, %d cut short by the time limit, %.1f s\n", runs,
           violated, cut, o.seconds - left);
    return violated > 0;
}
