"""What the figures of a report are drawn from, worked out of made-up rows."""

from study import effects, tables, testset
from study.figures import Material
from study.progress import point_of, progress
from study.replicates import per_trial


def material(runs, epochs=(), mixtures=(), **changes):
    """Everything but intervals, chances and what was published, which no row knows."""
    known = tables.finished(per_trial(runs))
    base = tables.reference(known) or known[0]
    design = effects.design(known, base)
    return Material(runs, epochs, testset.from_rows(mixtures), effects.main_effects(design), effects.interaction(design),
                    effects.importance(design, draws=50),
                    progress=progress(runs, point_of(base["parameters"], base["macs_per_s"])))._replace(**changes)
