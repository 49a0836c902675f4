"""The words of the figures, from their numbers: alternative texts and captions."""

from collections.abc import Sequence
from typing import NamedTuple

from study.analysis import trials
from study.analysis.cost_axes import axis_of, device_of
from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.wording import decibels, engineering, percent
from study.report.figures.effects import EffectPanel, together
from study.report.figures.front import LIKELY, FrontData
from study.report.figures.hyperparameters import HyperparameterScores, ParallelData
from study.report.figures.learning import MOST, CurvesData, HypervolumeData
from study.report.figures.mixtures import Condition, Pairs, Spread
from study.report.figures.predicted import PredictedData
from study.report.figures.style import Drawn
from tasnet_core.errors import counted

INHERITED = "weights inherited from the reference, not trained from scratch"


class Words(NamedTuple):
    alt: str  # what a screen reader says
    caption: str


def with_inherited(figure: Drawn) -> Drawn:
    """A figure of networks whose weights were inherited, which says so in its words."""
    return figure._replace(alt=f"With {INHERITED}. {figure.alt}",
                           caption=f"With {INHERITED}. {figure.caption}")


def front(data: FrontData, unlabelled: int) -> Words:
    """Of the figure of the front against one cost."""
    alt = (f"SI-SNRi against {axis_of(data.cost).words}: {counted(len(data.front), 'variant')} "
           f"Pareto-optimal, {len(data.dominated)} dominated")
    if data.line:
        ends = [f"{decibels(score)} dB at {_cost(data.cost, cost)}"
                for cost, score in (data.line[0], data.line[-1])]
        alt += f"; the best rises from {' to '.join(ends)}"
    if data.reference:
        alt += (f"; the reference has {decibels(data.reference.si_snri_db)} dB at "
                f"{_cost(data.cost, data.reference.cost)}")
    if data.published:
        alt += f"; beside them {counted(len(data.published), 'published result')}"
    measured = sum(bool(point.interval_db) for point in data.points)
    few = len(data.with_bars) < measured
    return Words(f"{alt}.", _sentences(
        (True, _front_caption(data)),
        (data.with_bars, "A bar is the 95 % interval of a score"
         f"{', drawn for the front and the reference only' if few else ''}."),
        (data.not_converged, "A small triangle in the mark of the reference or of a variant of the "
         "front says that its learning curve had clearly not converged."),
        (any(point.chance is not None for point in data.points),
         "The larger its pale disc, the likelier a variant is on the front of parameters and MACs "
         f"when the study is repeated (none below {percent(LIKELY)})."),
        (data.published, "Hollow diamonds are published results from another corpus or budget: "
         "where the literature stands, not what these variants should reach."),
        (data.int8, "Squares are networks in int8, with the score they have so; filled: best at "
         "their cost."),
        (data.predicted, f"The costs of {counted(data.predicted, 'variant')} are predicted from "
         "those that were measured there."),
        (data.unmeasured, "Without this measurement and not drawn: "
         f"{counted(data.unmeasured, 'variant')}."),
        (unlabelled, "Without a label, but in the table: "
         f"{counted(unlabelled, 'variant')} of the front.")))


def predicted(data: PredictedData) -> Words:
    """Of the figure of the predicted front."""
    band, untrained = data.bands[0], len(data.untrained[0])
    rise = f"{decibels(float(band.expected[0]))} dB to {decibels(float(band.expected[-1]))} dB"
    axes = " and against ".join(axis_of(cost).words for cost in data.costs)
    alt = (f"Predicted SI-SNRi against {axes}: from {rise}, known to "
           f"{decibels(data.half_width_db)} dB on average; of the variants that it takes by "
           f"{axis_of(data.costs[0]).words}, {untrained} are untrained.")
    return Words(alt, (
        "The line is what the variant taken at each size is expected to score, the band where the "
        "best variant within that size lies (95 %), both from a model of all trainings. Orange "
        "diamonds are variants that nobody has trained; grey points were measured. Scores are "
        "those that trainings of a variant have on average, on these test mixtures."))


def _front_caption(data: FrontData) -> str:
    if data.cost == "parameters":
        dotted = ", whose score is the dotted line" if data.reference else ""
        return ("The best score for every number of parameters (line). Blue variants are "
                "Pareto-optimal when parameters and MACs both count; a hollow one is not the best "
                "at its number of parameters, but needs fewer MACs. Labels name only the "
                f"hyperparameters in which a variant differs from the reference{dotted}.")
    if data.cost == "macs_per_s":
        return ("The same variants against multiply-accumulates for one second of audio; here a "
                "hollow one needs fewer parameters.")
    what = "the most memory they need at once while they separate one second of audio"
    if device_of(data.cost):
        what = f"{axis_of(data.cost).words}, as it was measured there"
    if data.cost == "realtime_factor":
        what = ("the measured real-time factor, which is below 1 where separating takes less time "
                "than the audio lasts")
    return (f"The same variants against {what}. The line joins the best at this cost alone; blue "
            "ones are Pareto-optimal in parameters and MACs, and hollow where another is better "
            "here.")


def _cost(name: str, cost: float) -> str:
    axis = axis_of(name)
    if axis.tick in (1e3, 1e6):
        return f"{cost / axis.tick:.3g} {'kB' if axis.tick == 1e3 else 'MB'}"
    return engineering(cost) if name in trials.COSTS else f"{cost:.3g}"


def hypervolume(data: HypervolumeData) -> Words:
    """Of the hypervolume after each trial."""
    def when(place: int) -> str:
        return f"{counted(data.trials[place], 'trial')} and {data.audio[place]:,.3g} {data.unit}"

    start = ["0 dB"]
    for cost, title in (("parameters", "parameters"), ("macs_per_s", "MACs per s")):
        if cost in data.point:
            start.append(f"{engineering(data.point[cost])} {title}")
    return Words(
        f"Hypervolume of the front against trials and against {data.unit} of audio: it grows to "
        f"{data.volume[-1]:.3g} after {when(-1)}; {percent(MOST)} of that is there after "
        f"{when(data.reached)}.",
        f"What the front encloses, measured from {', '.join(start)}, after each trained trial and "
        "after the audio all of them were trained on (an octave is a factor of 2). Where the "
        "staircase is flat, more trials found nothing better.")


def effects(data: Sequence[EffectPanel], model: Effects) -> Words:
    """Of the model of main effects."""
    return Words(
        "Effect of each hyperparameter on SI-SNRi, the others held fixed: "
        f"{'; '.join(f'{panel.hyperparameter} {panel.doubling}' for panel in data)}.",
        "What each hyperparameter does while the others stay at the reference's: line and 95 % "
        "band of a model that is linear in the hyperparameters' logarithms and explains "
        f"{percent(model.explained)} of the variance between "
        f"{counted(model.variants, 'variant')}. A point is a variant: the line and what the model "
        "leaves unexplained; where points bend away from the line, doublings do not tell all.")


def hyperparameters(data: Sequence[HyperparameterScores], refused: str) -> Words:
    """Of the figure that stands where there is no model."""
    return Words(
        f"Scores of the finished variants under each value of the hyperparameters "
        f"{', '.join(one.hyperparameter for one in data)}.", _sentences(
            (True, "Every finished variant, once in each panel, with the median of each value. "
             "Nothing else is held fixed: those with a small X may also have a small H, so a slope "
             "here is a hint, not the effect of that hyperparameter alone."),
            (refused, f"There is no model that holds the others fixed: {refused}.")))


def interaction(data: Interaction) -> Words:
    """Of the heat map of two hyperparameters."""
    both = f"{data.first} and {data.second}"
    means = [(mean, f"{data.first}{first} {data.second}{second}")
             for first, line in zip(data.values[0], data.mean_db, strict=True)
             for second, mean in zip(data.values[1], line, strict=True) if mean is not None]
    empty = len(data.values[0]) * len(data.values[1]) - len(means)
    ends = [f"{decibels(mean)} dB at {where}" for mean, where in (min(means), max(means))]
    return Words(
        f"Mean SI-SNRi under each pair of {both}: from {' to '.join(ends)}. {together(data)}",
        _sentences(
            (True, f"Mean SI-SNRi of the variants with each pair of {both}, the effects of the "
             "other hyperparameters taken out; n is how many."),
            (empty, "No variant has a hatched pair.")))


def importance(data: Sequence[Importance]) -> Words:
    """Of the shares of the hyperparameters."""
    shares = []
    for one in data:
        best = f" and {percent(one.ped_anova.value)} by PED-ANOVA" if one.ped_anova else ""
        shares.append(f"{one.letter} {percent(one.main.value)} by main effects{best}")
    quarter = ""
    if data[0].ped_anova:
        quarter = (" (discs), and of what tells the best quarter of the variants from all "
                   "(PED-ANOVA, diamonds)")
    return Words(
        f"Importance of the hyperparameters: {'; '.join(shares)}.",
        "Each hyperparameter's share of the variance that the main effects explain"
        f"{quarter}, with 95 % intervals by a bootstrap over variants. The shares of one kind sum "
        "to 100 %.")


def mixtures(data: Sequence[Spread], thinned: bool, replicated: bool) -> Words:
    """Of the densities over the test mixtures."""
    missing = sum(run.unscored for run in data)
    medians = [run.median_db for run in data]
    ends = (f"; medians from {decibels(min(medians))} to {decibels(max(medians))} dB"
            if medians else "")
    ticks = "ticks; the mean over the seeds of a variant" if replicated else "ticks"
    shown = "an even choice of the front" if thinned else "the front"
    return Words(
        "Distribution of SI-SNRi over the test mixtures for "
        f"{counted(len(data), 'variant')}{ends}.", _sentences(
            (True, f"SI-SNRi of each test mixture ({ticks}) and its density, for the reference and "
             f"{shown}, fewest parameters on top; the thick mark is the median. Left of the "
             "dotted line the network made the mixture worse."),
            (missing, f"Not scored, and missing here: {counted(missing, 'score')}.")))


def sexes(data: Sequence[Pairs]) -> Words:
    """Of the means by pair of sexes."""
    means: dict[str, list[float]] = {}
    for one in data:
        for mean in one.means:
            means.setdefault(mean.pair, []).append(mean.db.value)
    ends = [f"{pair} from {decibels(min(some))} to {decibels(max(some))} dB"
            for pair, some in sorted(means.items())]
    return Words(
        "SI-SNRi by the sexes of the speakers for "
        f"{counted(len(data), 'variant')}: {', '.join(ends)}.",
        "Mean SI-SNRi by the sexes of the speakers (F, M), for the reference and the front, fewest "
        "parameters on top. A bar is the mean give or take 1.96 standard errors over the mixtures, "
        "as if each were independent of the others.")


def conditions(data: Sequence[Condition]) -> Words:
    """Of the scores against facts of the mixtures."""
    def ends(condition: Condition) -> str:
        means = [f"{trend.role} from {decibels(trend.means[0][1])} to "
                 f"{decibels(trend.means[-1][1])} dB" for trend in condition.trends if trend.means]
        return ": ".join([condition.title, *([", ".join(means)] if means else [])])

    return Words(
        f"SI-SNRi of the test mixtures against {'; against '.join(map(ends, data))}.",
        "SI-SNRi of each test mixture (faint) against what is known of the mixture, for the "
        "reference and the smallest, the middle and the best variant of the front; lines are means "
        "over bins of equally many mixtures.")


def parallel(data: ParallelData) -> Words:
    """Of the parallel coordinates."""
    kinds = [line.kind for line in data.lines]
    reference = ", and the reference" if "reference" in kinds else ""
    return Words(
        f"{counted(len(data.lines), 'variant')} across "
        f"{', '.join(scale.name for scale in data.scales)}: {kinds.count('front')} "
        f"Pareto-optimal, {kinds.count('dominated')} dominated{reference}.", _sentences(
            (True, "A line for each finished variant, from hyperparameter to hyperparameter and on "
             "to its costs and its score; the axes of hyperparameters and costs are logarithmic. "
             "What the blue lines share is what the front has in common."),
            (data.left_out, f"Not drawn: {counted(data.left_out, 'variant')}; those drawn are an "
             "even choice by score.")))


def curves(data: CurvesData) -> Words:
    """Of the learning curves."""
    shown = [curve for panel in data.panels for curve in panel.curves]
    return Words(
        f"Learning curves of {counted(len(data.panels), 'variant')}: training SI-SNR and "
        "validation SI-SNRi against seconds of audio trained on.", _sentences(
            (True, "Training (minus the loss, the SI-SNR on the training segments) and validation "
             "(SI-SNRi) after each epoch, first the reference, then the front from few parameters "
             "to many, then the others by score."),
            (len(shown) > len(data.panels),
             "A variant with several seeds has a pair of curves for each."),
            (any(curve.ended for curve in shown),
             "A training that was stopped or failed is drawn pale, up to the cross at its end."),
            (data.left_out, f"Not drawn: {counted(data.left_out, 'more variant')}.")))


def _sentences(*sentences: tuple[object, str]) -> str:
    """Those sentences whose condition holds."""
    return " ".join(text for wanted, text in sentences if wanted)
