"""Pictures of every page of the running dashboard, light and dark, for the docs."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy import access, status
from weir.errors import SetupError
from weir.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
#: Name of the picture -> page, and what is on it once it is whole.
PAGES = {
    "overview": ("overview", ".tile-value"),
    "map": ("", ".row"),
    "sensor": ("sensor?window=24h", "#sensor-chart .scatterlayer"),
    "forecasts": ("forecasts", "#fleet-table .ag-root"),
    "alerts": ("alerts", "#alert-timeline .main-svg"),
    "sensors": ("sensors", "#sensors-table .ag-row"),
    "pipeline": ("pipeline", "#stages table"),
}
SETTLE_MS = 1500


def write(config: Settings, folder: Path = FOLDER) -> list[Path]:
    """Take all of them. Raises `SetupError` without a browser."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SetupError("Chromium is missing: run `sh deploy/system-packages --test`")
    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme=scheme)
            page = context.new_page()
            page.goto(access.link(config))
            for name, (path, sign) in PAGES.items():
                page.goto(status.url(config) + path)
                page.locator(sign).first.wait_for(timeout=60_000)
                page.wait_for_timeout(SETTLE_MS)  # the last circle and line are painted
                target = folder / f"{name}{'-dark' if scheme == 'dark' else ''}.png"
                page.screenshot(path=target)
                written.append(target)
            context.close()
        browser.close()
    return written
