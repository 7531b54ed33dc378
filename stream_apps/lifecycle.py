"""The life of alerts (pure): flags, silences, commands and time go in, transitions come out.

Every abnormal *condition* (see `conditions`) belongs to exactly one alert: its own, its site's (rule `site`) or,
in a flood, the one that summarises (rule `flood`, site `*`). An alert is ACTIVE while it has members, then CLEARED,
for good: a later recurrence is a new alert. Only a command acknowledges. Conditions first wait `Rules.hold_ms` in
`_held`, so that one site-wide cause is seen as one. The alarm states follow ISA-18.2 / IEC 62682.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec.structs import replace

from stream_apps.book import CLOSED, COMMANDS, EVERYWHERE, Book, Held, cause_of
from stream_apps.conditions import Cause, Rules, Sensor, Series
from weir.errors import Reason, Refused
from weir.events import Alert, AlertCommand, AlertState, Flag, alert_id


class Lifecycle:
    """One book of alerts. `now` (ms) must not go back; before `since` nobody listened, so nobody was silent.
    Methods return the transitions to publish, in order."""

    def __init__(self, rules: Rules | None = None, book: Book | None = None, since: int = 0) -> None:
        self._since = since
        self.rules = rules or Rules()
        self.book = book or Book()
        self._sizes = Counter(site for site, _ in self.book.sensors)

    def live(self) -> list[Alert]:
        """The alerts that are active or that nobody has acknowledged."""
        return [a for a in self.book.alerts.values() if a.state is AlertState.ACTIVE or not a.acknowledged]

    def restore(self, alert: Alert) -> None:
        """Take a record of the `alerts` topic, in order; one that the book has, or is ahead of, changes nothing."""
        book, cause = self.book, cause_of(alert)
        known = book.alerts.get(alert.id)
        if known is not None and known.n >= alert.n:
            return
        book.alerts[alert.id] = alert
        book.held.pop(cause, None)
        if alert.rule == "anomaly":
            series = book.series.setdefault(cause, Series())
            series.newest = max(series.newest, alert.opened if alert.state is AlertState.ACTIVE else alert.at)
            series.at = max(series.at, alert.at)
        elif alert.rule in ("silence", "clock"):
            self._sensor(alert.site, alert.sensor, alert.opened)
        self._restore_member(alert, cause)

    def _restore_member(self, alert: Alert, cause: Cause) -> None:
        active = alert.state is AlertState.ACTIVE
        if active:
            self.book.members[cause] = alert.id
        elif self.book.members.get(cause) == alert.id:
            del self.book.members[cause]
        if alert.shelved_until:
            self.book.shelves[cause] = alert.shelved_until
        else:
            self.book.shelves.pop(cause, None)
        owns = self.book.members.get(cause) is not None
        if alert.rule == "anomaly":
            self.book.series[cause].abnormal = owns
        elif alert.rule == "silence":
            self.book.sensors[alert.site, alert.sensor].silent = owns
        elif alert.rule == "clock":
            self.book.sensors[alert.site, alert.sensor].skewed = owns

    def flag(self, flag: Flag, now: int) -> list[Alert]:
        """Take a flagged reading. Repeated flags change nothing. Alerts open in `tick`."""
        cause = Cause(flag.site, flag.sensor, flag.metric, "anomaly")
        series = self.book.series.setdefault(cause, Series())
        if series.flagged(flag, self.rules, now):
            text = (
                f"{flag.metric} {flag.value:g} is outside {flag.low:g} … {flag.high:g} "
                f"({len(series.flags)} of the last {self.rules.n} readings)"
            )
            self.book.held[cause] = Held(flag.ts, now, series.severity(self.rules), text)
        return []

    def seen(self, site: str, sensor: str, ts: int, rx: int) -> None:
        """Take the last reading of a sensor: measured at `ts`, received at `rx`."""
        self._sensor(site, sensor, rx, ts).heard(ts, rx)

    def state(self, site: str, sensor: str, state: str) -> None:
        """Take a sensor's connection state, `online` or `lost`. A sensor never heard is not watched."""
        known = self.book.sensors.get((site, sensor))
        if known is not None:
            known.lost = state == "lost"

    def retire(self, site: str, sensor: str, at: int) -> None:
        """A sensor was retired at `at` (ms): whatever was wrong with it is over, unless it was heard since."""
        known = self.book.sensors.get((site, sensor))
        if known is None or known.rx > at:
            return
        del self.book.sensors[site, sensor]
        self._sizes[site] -= 1
        for cause in [c for c in {**self.book.members, **self.book.held, **self.book.series}]:
            if (cause.site, cause.sensor) == (site, sensor):
                self._leave(cause)
                self.book.series.pop(cause, None)

    def report(self, rule: str, conditions: Mapping[Cause, Held]) -> None:
        """Take all conditions of a rule that is judged elsewhere: what is not among them is normal."""
        for cause in [c for c in [*self.book.members, *self.book.held] if c.rule == rule and c not in conditions]:
            self._leave(cause)
        for cause, held in conditions.items():
            if cause not in self.book.members:
                self.book.held.setdefault(cause, held)

    def tick(self, now: int, silence: bool = True) -> list[Alert]:
        """Let time pass. `silence=False` while nobody can tell whether sensors are heard (Redis is away)."""
        self._normal(now, silence)
        if silence:
            self._find_silent(now)
        else:
            self._since = now
        self._find_wrong_clocks(now)
        out = self._open(now)
        out += self._close_empty(now)
        out += self._end_shelves(now)
        return out

    def command(self, command: AlertCommand, now: int) -> list[Alert]:
        """Apply a person's command; a repeated one changes nothing. Raises `Refused` if it makes no sense."""
        alert = self.book.alerts.get(command.id)
        if alert is None:
            raise Refused(Reason.SHAPE, f"there is no alert {command.id[:40]!r}")
        if not command.by:
            raise Refused(Reason.SHAPE, "a command says who gives it")
        once = f"{command.id}/{command.verb}/{command.by}/{command.at}"
        if once in self.book.applied:
            return []
        if command.verb == "acknowledge":
            if alert.acknowledged:
                return []
            changed = self._step(alert, now, command.text or "acknowledged", command.by, acknowledged=True)
        elif command.verb == "comment":
            changed = self._step(alert, now, command.text, command.by)
        elif command.verb == "shelve":
            changed = self._shelve(alert, command, now)
        else:
            raise Refused(Reason.SHAPE, f"unknown verb {command.verb[:40]!r}")
        self.book.applied[once] = None
        while len(self.book.applied) > COMMANDS:
            del self.book.applied[next(iter(self.book.applied))]
        return [changed]

    def _shelve(self, alert: Alert, command: AlertCommand, now: int) -> Alert:
        """Put away until `until`, at most `shelf_max_ms`; an `until` that is past takes it off the shelf."""
        until = min(command.until, now + self.rules.shelf_max_ms)
        if until <= now:
            self.book.shelves.pop(cause_of(alert), None)
            return self._step(alert, now, command.text or "unshelved", command.by, shelved_until=0)
        self.book.shelves[cause_of(alert)] = until
        return self._step(alert, now, command.text or "shelved", command.by, shelved_until=until)

    def _sensor(self, site: str, sensor: str, rx: int, ts: int = 0) -> Sensor:
        known = self.book.sensors.get((site, sensor))
        if known is None:
            known = self.book.sensors[site, sensor] = Sensor(rx, ts)
            self._sizes[site] += 1
        return known

    def _normal(self, now: int, silence: bool) -> None:
        """Conditions that have ended leave their alerts."""
        for cause in [c for c, s in self.book.series.items() if now - s.at > self.rules.clear_ms // 2]:
            series = self.book.series[cause]
            if series.quiet(self.rules, now, self.book.sensors.get((cause.site, cause.sensor))):
                if series.abnormal:
                    series.abnormal = False
                    self._leave(cause)
                elif now - series.at > 2 * self.rules.stale_ms:
                    del self.book.series[cause]  # older flags would be stale: nothing is forgotten that matters
        if silence:
            for (site, sensor), heard in self.book.sensors.items():
                if heard.silent and heard.turned_back(self.rules, now):
                    self._leave(Cause(site, sensor, "", "silence"))

    def _find_silent(self, now: int) -> None:
        for (site, sensor), heard in self.book.sensors.items():
            if heard.turned_silent(self.rules, now, self._since):
                text = "its connection is lost" if heard.lost else f"nothing received for {(now - heard.rx) // 1000} s"
                self.book.held[Cause(site, sensor, "", "silence")] = Held(heard.rx, now, "warning", text)

    def _find_wrong_clocks(self, now: int) -> None:
        for (site, sensor), heard in self.book.sensors.items():
            behind = heard.clock(self.rules)
            if bool(behind) == heard.skewed:
                continue
            heard.skewed = bool(behind)
            cause = Cause(site, sensor, "", "clock")
            if behind:
                text = f"its clock is {abs(behind) // 1000} s {'behind' if behind > 0 else 'ahead'}"
                self.book.held[cause] = Held(heard.rx, now, "warning", text)
            else:
                self._leave(cause)

    def _leave(self, cause: Cause) -> None:
        self.book.held.pop(cause, None)
        self.book.members.pop(cause, None)

    def _open(self, now: int) -> list[Alert]:
        """Give every condition that has waited long enough, or whose site has enough of them, to an alert."""
        out: list[Alert] = []
        for site in dict.fromkeys(cause.site for cause in self.book.held):
            out += self._open_site(site, now)
        for cause, held in list(self.book.held.items()):
            if now - held.at >= self.rules.hold_ms:
                del self.book.held[cause]
                out += self._open_one(cause, held, now)
        return out

    def _open_site(self, site: str, now: int) -> list[Alert]:
        """Join the alert of the site, or open it if enough of its sensors have something at once."""
        book, rules, whole = self.book, self.rules, Cause(site, "", "", "site")
        held = {c: h for c, h in book.held.items() if c.site == site}
        out: list[Alert] = []
        if whole not in book.members:
            recent = [
                c for at, c in book.openings if c.site == site and c in book.members and now - at <= rules.site_ms
            ]
            sensors = {c.sensor for c in [*held, *recent]}
            if len(sensors) < max(rules.site_min, (self._sizes[site] + 1) // 2):
                return []
            opened = min(h.opened for h in held.values())
            out = self._new(whole, Held(opened, now, "critical", f"{len(sensors)} sensors of {site} at once"), now)
            if whole not in book.members:
                return []
            book.members.update(dict.fromkeys(recent, book.members[whole]))
        for cause in held:
            del book.held[cause]
            book.members[cause] = book.members[whole]
        return out

    def _open_one(self, cause: Cause, held: Held, now: int) -> list[Alert]:
        """Open its own alert, or in a flood join the one that sums up."""
        book, rules, flood = self.book, self.rules, Cause(EVERYWHERE, "", "", "flood")
        book.openings = [(at, c) for at, c in book.openings if now - at <= rules.flood_ms]
        if cause.site == EVERYWHERE or (flood not in book.members and len(book.openings) < rules.flood):
            out = self._new(cause, held, now)
            book.openings += [(now, cause)] if out else []
            return out
        out = []
        if flood not in book.members:
            text = f"more than {rules.flood} alerts in {rules.flood_ms // 60_000} min: this one stands for all others"
            out = self._new(flood, Held(held.opened, now, "critical", text), now)
        if flood in book.members:
            book.members[cause] = book.members[flood]
        return out

    def _new(self, cause: Cause, held: Held, now: int) -> list[Alert]:
        """Open an alert; nothing if it exists already, which happens when records are read again."""
        id = alert_id(*cause, held.opened)
        known = self.book.alerts.get(id)
        if known is not None:
            if known.state is AlertState.ACTIVE:
                self.book.members[cause] = id
            return []
        shelved = self.book.shelves.get(cause, 0)
        alert = Alert(
            id, cause.site, cause.sensor, cause.metric, cause.rule, held.severity, AlertState.ACTIVE,
            acknowledged=False, opened=held.opened, at=now, n=1, text=held.text,
            shelved_until=shelved if shelved > now else 0,
        )  # fmt: skip
        self.book.alerts[id] = alert
        self.book.members[cause] = id
        return [alert]

    def _close_empty(self, now: int) -> list[Alert]:
        """An alert none of whose conditions lasts is CLEARED. Group alerts are no members of themselves."""
        book = self.book
        held_up = {i for c, i in book.members.items() if c.rule not in ("site", "flood")}
        out = []
        for alert in [a for a in book.alerts.values() if a.state is AlertState.ACTIVE and a.id not in held_up]:
            cause = cause_of(alert)
            moved = book.members.get(cause)
            if moved == alert.id:
                del book.members[cause]
            text = "part of the alert of its site" if moved not in (None, alert.id) else "back to normal"
            out.append(self._step(alert, now, text, state=AlertState.CLEARED))
        self._forget_closed()
        return out

    def _end_shelves(self, now: int) -> list[Alert]:
        self.book.shelves = {cause: until for cause, until in self.book.shelves.items() if until > now}
        due = [a for a in self.book.alerts.values() if 0 < a.shelved_until <= now]
        return [self._step(alert, now, "the shelf has ended", shelved_until=0) for alert in due]

    def _step(self, alert: Alert, now: int, text: str, by: str = "", **changes: object) -> Alert:
        changed = replace(alert, at=now, n=alert.n + 1, text=text[:2000], by=by, **changes)
        self.book.alerts[alert.id] = changed
        return changed

    def _forget_closed(self) -> None:
        alerts = self.book.alerts
        closed = [i for i, a in alerts.items() if a.state is AlertState.CLEARED and a.acknowledged]
        for id in closed[: max(0, len(closed) - CLOSED)]:
            del alerts[id]
