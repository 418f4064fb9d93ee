"""What ``verbose=1`` prints: lines of the logger "skhyper"."""

from __future__ import annotations

import logging

logger = logging.getLogger("skhyper")


def show_progress() -> None:
    """Let the logger's lines reach the screen, unless logging is set up already."""
    logger.setLevel(min(logger.level or logging.INFO, logging.INFO))
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[%(name)s] %(message)s"))
        logger.addHandler(handler)
