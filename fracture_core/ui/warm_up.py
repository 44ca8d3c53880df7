"""What the first page needs, made ready while the browser is still loading."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from fracture_core import importing

FIRST_PAGE = (
    "fracture_core.ui.widgets.case_viewer",
    "fracture_core.ui.read.explaining",
    "fracture_core.ui.widgets.model_choice",
    "fracture_core.ui.read.predicting",
    "fracture_core.ui.read.sources",
)


def warm_up() -> None:
    """Import what the first page imports, and make the case it opens on as the browser gets it."""
    for name in FIRST_PAGE:
        importing.load(name)
    with importing.LOCK:
        from fracture_core.demo.answer import stored_prediction
        from fracture_core.demo.case import demo_case
        from fracture_core.ui.routes import make_pixels

    stored_prediction()
    make_pixels(demo_case())


@asynccontextmanager
async def warming(app: st.App) -> AsyncIterator[None]:
    """Lifespan of the server: begins to warm up and does not wait for it."""
    task = asyncio.create_task(asyncio.to_thread(warm_up))
    yield
    await task
