"""What the figures of a report are drawn from, worked out of made-up rows."""

from study.analysis import effects, mixture_scores, trials
from study.analysis.hypervolume_curve import point_of, progress
from study.analysis.replicates import per_trial
from study.report.figures.all import Material


def material(runs, epochs=(), mixtures=(), **changes):
    """Everything but intervals, chances and what was published, which no row knows."""
    known = trials.finished(per_trial(runs))
    base = trials.reference(known) or known[0]
    design = effects.design(known, base)
    return Material(runs, epochs, mixture_scores.from_rows(mixtures), effects.main_effects(design), effects.interaction(design),
                    effects.importance(design, draws=50),
                    progress=progress(runs, point_of(base["parameters"], base["macs_per_s"])))._replace(**changes)
