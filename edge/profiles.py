"""Ten kinds of place in and around Bern, each with its own day."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """A place and its climate: `mean` and `swing` of the daily temperature cycle in Cel, `humidity` in %RH at the
    mean temperature, `wind` in m/s (None: not measured), `jitter` the standard deviation of noise in Cel."""

    name: str
    lat: float
    lon: float
    mean: float
    swing: float
    humidity: float
    jitter: float
    wind: float | None = None

    @property
    def site(self) -> str:
        return f"bern-{self.name}"


PROFILES: tuple[Profile, ...] = (
    Profile("industrial", 46.9420, 7.4020, 23.0, 6.0, 48, 0.25),
    Profile("old-town", 46.9480, 7.4510, 21.5, 5.0, 52, 0.15),
    Profile("housing", 46.9560, 7.3930, 20.5, 5.5, 55, 0.15),
    Profile("park", 46.9410, 7.4490, 18.5, 5.0, 62, 0.12),
    Profile("riverside", 46.9530, 7.4560, 18.8, 4.0, 68, 0.12),
    Profile("forest", 46.9630, 7.4190, 16.8, 3.5, 74, 0.10),
    Profile("airfield", 46.9120, 7.4990, 19.5, 7.0, 58, 0.20, wind=4.0),
    Profile("hilltop", 46.9190, 7.4400, 16.5, 4.0, 65, 0.20, wind=7.5),
    Profile("farmland", 46.9860, 7.3600, 18.9, 7.0, 64, 0.18),
    Profile("motorway", 46.9720, 7.4650, 22.0, 5.5, 50, 0.25),
)


def by_name(name: str) -> Profile:
    """Raises `KeyError` when there is no such profile."""
    return {profile.name: profile for profile in PROFILES}[name]
