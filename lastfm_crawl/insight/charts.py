"""Pictures of release years: a PNG to keep, and the SVG drawings of which the page is made.

matplotlib takes long to import: import this module where a picture is wanted, not where one might be.
"""

from __future__ import annotations

import warnings
from datetime import date
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lastfm_crawl.insight import wording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

    from lastfm_crawl.insight.years import Question, ReleaseYears

#: Told apart by form and by lightness, not by hue alone. The page puts its own colours in their place.
COLOURS = {
    "bar": "#2b87c4",
    "everyone": "#1b1b1b",
    "median": "#c04a00",
    "ink": "#1b1b1c",
    "faint": "#b0b0b0",
    "paper": "#fffffe",
}
PNG_WIDTH = 1600
_PNG_DPI = 160
# Only what the machine has is used: a name in another script needs a font that has it.
_FONTS = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Yu Gothic",
    "Microsoft YaHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew", "Segoe UI",
    "Noto Emoji", "Segoe UI Emoji",
)  # fmt: skip
# A lone bar is not to fill the whole width.
_LEAST_BARS = 11
#: Ticks that a PNG has room for, and from which on there is room for a second scale.
_TICKS = 16
_WIDE = 10
#: Every how many years a year is named.
_ROUND = (1, 2, 5, 10, 20, 50, 100, 200)


def png(years: ReleaseYears) -> bytes:
    """The bars, and below them the median over listening time where there is more than one part of it."""
    over_time = len(years.periods) > 1
    with mpl.rc_context(_style(10)), warnings.catch_warnings():
        # What no font of this machine has becomes a box: that is seen, and needs no warning for each character.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(PNG_WIDTH / _PNG_DPI, 8 if over_time else 5), dpi=_PNG_DPI)
        figure.set_layout_engine("constrained", w_pad=0.15, h_pad=0.12)
        FigureCanvasAgg(figure)
        heights = (3, 2) if over_time else (1,)
        bars, *below = figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0]
        _draw_bars(bars, years, ticks=_TICKS)
        bars.set_xlabel(f"{years.question.by} of release")
        facts = (wording.listening(years), wording.coverage(years), wording.everyone(years))
        bars.set_title(" · ".join(filter(None, facts)), loc="left", pad=24)
        for axes in below:
            _draw_periods(axes, years, ticks=_TICKS)
            axes.set_title("Year of release, median and middle half", loc="left")
            axes.set_xlabel(f"{years.question.period} of listening")
        # What is drawn last is listed first: the bars before the line above them.
        keys = [key for axes in (bars, *below) for key in reversed(axes.get_legend_handles_labels()[0])]
        figure.legend(handles=keys, loc="outside lower left", ncols=4, frameon=False)
        heading = figure.suptitle("", x=0.015, ha="left", fontsize=15, fontweight="bold", parse_math=False)
        _fit(heading, years)
        target = BytesIO()
        figure.savefig(target, format="png")
    return target.getvalue()


def bars_svg(years: ReleaseYears, width: int, height: int) -> ET.Element:
    """The bars as an <svg> of *width* by *height* CSS pixels, with a labelled <g class="slot"> a bar."""
    with mpl.rc_context(_style(12)):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        axes = figure.subplots()
        _draw_bars(axes, years, ticks=width // 55)
        top = axes.get_ylim()[1]
        for bar in years.bars:
            (slot,) = axes.bar(bar.year - 0.5, top, years.question.step, align="edge")
            slot.set_gid(f"slot-{bar.year}")
        svg = _svg(figure, f"bars {width}")
    labels = {f"slot-{bar.year}": wording.bar(bar, years) for bar in years.bars}
    for group in svg.iter("g"):
        label = labels.get(group.attrib.pop("id", ""))
        if label is None:
            continue
        group.attrib |= {"class": "slot", "role": "img", "aria-label": label, "tabindex": "-1"}
        ET.SubElement(group, "title").text = label
        for path in group.iter("path"):
            del path.attrib["style"]
    return svg


def periods_svg(years: ReleaseYears, width: int, height: int) -> ET.Element:
    """Median and quartiles over listening time as an <svg> of *width* by *height* CSS pixels."""
    with mpl.rc_context(_style(12)):
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        _draw_periods(figure.subplots(), years, ticks=width // 55)
        svg = _svg(figure, f"periods {width}")
    for group in svg.iter("g"):
        group.attrib.pop("id", "")
    return svg


def _style(size: float) -> Any:
    """Settings of matplotlib: text of *size* that stays text in SVG, and no lines that say nothing."""
    known = set(get_font_names())
    ink = COLOURS["ink"]
    return {
        "font.family": [name for name in _FONTS if name in known],
        "font.size": size,
        "axes.titlesize": size,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": ink,
        "axes.labelcolor": ink,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "svg.fonttype": "none",
    }


def _plain(axes: Axes) -> None:
    """Numbers at the side, with faint lines across instead of one along them."""
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=COLOURS["faint"], linewidth=0.5)
    axes.set_axisbelow(True)


def _draw_bars(axes: Axes, years: ReleaseYears, ticks: int) -> None:
    """Bars of the user; a stepped line for everybody, as many plays as the user's would be; and the median."""
    step = years.question.step
    positions = [bar.year + (step - 1) / 2 for bar in years.bars]
    # Bins that touch look like stripes when there are many: there the gap is left out.
    width = step * (0.85 if len(positions) <= 60 else 1)
    what = years.question.measure
    axes.bar(positions, [bar.count for bar in years.bars], width, color=COLOURS["bar"], label=what)
    edges = [positions[0] - step / 2, *(place + step / 2 for place in positions)]
    if wording.everyone(years):
        shares = [bar.everyone_share * years.dated for bar in years.bars]
        label = f"all {years.everyone.users:,} users, by share"
        axes.stairs(shares, edges, baseline=None, color=COLOURS["everyone"], linewidth=1.4, label=label)
    margin = max((_LEAST_BARS - len(positions)) / 2, 0.25) * step
    axes.set_xlim(edges[0] - margin, edges[-1] + margin)
    axes.set_ylim(0, max(max(bar.count, bar.everyone_share * years.dated) for bar in years.bars) * 1.05)
    _mark_median(axes, years)
    slots = max(len(positions), _LEAST_BARS)
    # Round years where there are many; of a few bars the first is named.
    origin = years.bars[0].year if len(positions) <= _LEAST_BARS else 0
    every = next((n for n in _ROUND if n % step == 0 and slots * step / n <= ticks), _ROUND[-1])
    named = [(place, bar) for place, bar in zip(positions, years.bars, strict=True) if (bar.year - origin) % every == 0]
    axes.set_xticks([place for place, _ in named], [wording.label(bar, years.question) for _, bar in named])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
    _plain(axes)
    if ticks >= _WIDE:
        percents: Any = (lambda count: count * 100 / years.dated, lambda percent: percent * years.dated / 100)
        share = axes.secondary_yaxis("right", functions=percents)
        share.yaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:.3g} %"))
        share.tick_params(length=0)
        share.spines["right"].set_visible(False)


def _mark_median(axes: Axes, years: ReleaseYears) -> None:
    """A dashed line, and its year above the bars, turned inwards at either end."""
    if years.quartiles is None:
        return
    median = years.quartiles.median
    # On its own ground the line is seen before bars, too, by those who see no colours.
    axes.axvline(median, color=COLOURS["paper"], linewidth=3)
    axes.axvline(median, color=COLOURS["median"], linestyle=(0, (4, 2)), linewidth=1.6)
    low, high = axes.get_xlim()
    part = (median - low) / (high - low)
    side = "left" if part < 0.3 else "right" if part > 0.7 else "center"
    axes.annotate(
        f"median {median}", (median, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 3),
        textcoords="offset points", ha=side, va="bottom", color=COLOURS["median"],
    )  # fmt: skip


def _draw_periods(axes: Axes, years: ReleaseYears, ticks: int) -> None:
    """The median as a line, the middle half as a band; both break where nothing dated was played."""
    question = years.question
    found = {_number(question, period.start): period for period in years.periods}
    places = range(min(found), max(found) + 1)
    nothing = (float("nan"),) * 3
    values = [found[place].quartiles if place in found else nothing for place in places]
    heights = [upper - lower + 1 for lower, _, upper in values]
    bottoms = [lower - 0.5 for lower, *_ in values]
    axes.bar(places, heights, 0.85, bottoms, color=COLOURS["bar"], alpha=0.45, label="middle half")
    axes.plot(
        places, [median for _, median, _ in values], color=COLOURS["median"], linewidth=1.6, marker="o", markersize=4,
        label="median",
    )  # fmt: skip
    axes.set_ylim(
        min(period.quartiles.lower for period in years.periods) - 1.5,
        max(period.quartiles.upper for period in years.periods) + 1.5,
    )
    margin = max((_LEAST_BARS - len(places)) / 2, 0.25)
    axes.set_xlim(places[0] - 0.5 - margin, places[-1] + 0.5 + margin)
    room = ticks * 3 // 4 if question.period == "month" else ticks  # 2016-03 is longer than 2016
    named = places[:: -(-max(len(places), _LEAST_BARS) // room)]
    axes.set_xticks(named, [wording.period(_start(question, place), question) for place in named])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda year, _: f"{year:.0f}"))
    _plain(axes)


def _number(question: Question, start: date) -> int:
    """The place of a period on its axis."""
    return start.year * 12 + start.month - 1 if question.period == "month" else start.year


def _start(question: Question, number: int) -> date:
    """The first day of the period with that place."""
    return date(number // 12, number % 12 + 1, 1) if question.period == "month" else date(number, 1, 1)


def _fit(heading: Text, years: ReleaseYears) -> None:
    """The title, with as much of the user's name as the width of the picture has room for."""
    for length in range(len(years.user), 0, -1):
        heading.set_text(wording.title(years, length))
        if heading.get_window_extent().width <= 0.97 * PNG_WIDTH:
            return


def _svg(figure: Figure, salt: str) -> ET.Element:
    """*figure* as an element to stand in HTML: its colours those of the page, no background, namespaces or metadata.

    *salt* keeps the ids of several drawings on a page apart.
    """
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    target = StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = target.getvalue()
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    root = ET.fromstring(text)  # noqa: S314  (matplotlib wrote it)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for name in ("width", "height", "version"):
        del root.attrib[name]
    return root
