"""Texts as people upload them, made plain: signs of the web, and what video sites add to titles."""

from __future__ import annotations

import html
import re

_ZERO_WIDTH = re.compile("[\u200b-\u200d\u2060\ufeff]")
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e", '"') | dict.fromkeys("\u2018\u2019\u201a", "'"))
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,31});")
_VARIOUS = re.compile(r"various artists\b", re.IGNORECASE)

_VIDEO_BRACKETS = re.compile("\\([^()]*\\)|\\[[^\\[\\]]*\\]|\u3010[^\u3010\u3011]*\u3011|\uff08[^\uff08\uff09]*\uff09")
# Within brackets, on casefolded text.
_VIDEO_INNER = re.compile(
    r"^\s*$|\b(?:official|oficial|officiel|offizielles|video|videoclip|lyrics?|letra|stream|album track|audio)\b"
    r"|^(?:hd|hq|4k|m/v|mv)$|\bversion$|^live\b|^en vivo\b|^(?:19|2\d)\d\d$|\d{1,2}[/.-]\d{1,2}[/.-]\d{2}"
)
_VIDEO_TAIL = re.compile(
    r"\s(?:- )?(?:(?:official |oficial )?(?:music )?(?:video|audio)|offizielles video"
    r"|(?:(?:official|oficial) )?(?:(?:vid[eé]o ?)?clip)(?: (?:officiel|official|oficiel|oficial))?"
    r"|h[dq]|full album|sub espa[ñn]ol|\*+ ?\S+ ?\*+)$",
    re.IGNORECASE,
)
_VIDEO_TAIL_LONGEST = 40
_EXTENSION = re.compile(r"\.(?:avi|wmv|mp4|mkv|mpe?g|flv|mov|webm)$", re.IGNORECASE)
_QUOTED = re.compile(r"^(?P<quote>['\"])(?P<title>[^'\"]+)(?P=quote)(?:\s|$)")
_BLANKS = re.compile(r" {2,}")


def decode_entities(text: str) -> str:
    """HTML entities as characters; what is none stays."""
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def plain_signs(text: str) -> str:
    """No characters without width, ordinary blanks for fixed ones, straight quotation marks."""
    return _ZERO_WIDTH.sub("", text).replace("\u00a0", " ").translate(_QUOTES)


def plain_various(artist: str) -> str:
    """``Various Artists`` without what a compilation adds to it."""
    return match[0] if (match := _VARIOUS.match(artist)) else artist


def clean_video_title(text: str) -> str:
    """The title of a video without what is said of the video; ``Track Title (Lyric Video) | Channel`` -> ``Track
    Title``."""
    text = text.split("|", 1)[0].strip(" \t\n")
    text = _VIDEO_BRACKETS.sub(
        lambda match: "" if _VIDEO_INNER.search(match[0][1:-1].casefold().strip()) else match[0], text
    )
    text = _BLANKS.sub(" ", text).strip(" ")
    before = ""
    while before != text:
        before = text
        text = _EXTENSION.sub("", text)
        if tail := _VIDEO_TAIL.search(text[-_VIDEO_TAIL_LONGEST:]):
            text = text[: -len(tail[0])].rstrip(" ")
    if quoted := _QUOTED.match(text):
        return quoted["title"].strip()
    return text.strip(' :;-"')
