"""What a run shows with `snakemake --logger innerear`: jobs done of all, what runs, and the time left.

Snakemake finds the module by its name. Its own lines of every job go to its log file alone, which it names at
the end; errors and warnings are shown whole.
"""

import os
import re
import sys
import textwrap
import time
from collections.abc import Mapping
from contextlib import nullcontext
from logging import WARNING, LogRecord
from threading import Event, Thread
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from tqdm import tqdm

from innerear.io.log import LOGS_ALONE

#: seconds between two lines where there is no terminal
EVERY = 20
_STOPPING = "Terminating processes"  # after Ctrl-C
_SHOWN = ("Complete log", "Nothing to be done", "Will exit after", _STOPPING)
_OF_A_JOB = (LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR)
_FAILURES = (LogEvent.ERROR, *_OF_A_JOB)
_CHANGES = (LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS)

_BAR = "{n_fmt} of {total_fmt} jobs |{bar}| {elapsed}, about {remaining} left{postfix}"


def planned(stats: Mapping[str, int]) -> str:
    """Return the number of jobs in all, and of each rule if it has several, as lines that fit a screen.

    Examples
    --------
    >>> planned({"generate": 20, "index": 1, "total": 21})
    'Jobs: 21. generate (20), index'
    >>> planned({"generate_2": 1, "generate_3": 1, "index": 1, "total": 3})
    'Jobs: 3. generate (2), index'
    """
    counts: dict[str, int] = {}
    for rule, n in stats.items():
        name = _original(rule)
        counts[name] = counts.get(name, 0) + n
    rules = [f"{rule}\xa0({n:,})" if n > 1 else rule for rule, n in counts.items() if rule != "total"]
    text = f"Jobs: {stats['total']:,}. {', '.join(rules)}"
    return textwrap.fill(text, 110, subsequent_indent="  ").replace("\xa0", " ")


def _original(rule: str) -> str:
    """Return the rule that a rule is a copy of, such as generate of generate_2, or itself."""
    return re.sub(r"_\d+$", "", rule)


class LogHandler(LogHandlerBase):
    """A bar on a terminal, a line now and then elsewhere, both on standard error."""

    @property
    def writes_to_stream(self) -> bool:
        """In place of Snakemake's own lines."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Snakemake writes its log file itself."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own is used."""
        return False

    @property
    def has_formatter(self) -> bool:
        """Snakemake's own is used."""
        return False

    @property
    def needs_rulegraph(self) -> bool:
        """No graph is shown."""
        return False

    def __post_init__(self) -> None:
        self._rules: dict[int, str] = {}  # by number of the job
        self._running: list[int] = []
        self._bar: Any = None
        self._done, self._total = 0, 0
        self._failed: set[int] = set()
        self._stopping = False
        self._start = self._said = time.monotonic()
        os.environ[LOGS_ALONE] = "1"
        self._over = Event()
        if sys.stderr.isatty():
            Thread(target=self._tick, daemon=True).start()

    def emit(self, record: LogRecord) -> None:
        """Show a record, or what it changes."""
        values, said = record.__dict__, str(record.msg)
        event = values.get("event")
        self._note(event, values)
        self._stopping |= said.startswith(_STOPPING)
        of_a_job = event in _OF_A_JOB or values.get("exception") == "RuleException"
        if of_a_job and self._stopping:
            return  # it ended because it was told to
        if event in _FAILURES or record.levelno >= WARNING or said.startswith(_SHOWN):
            self._print(self.format(record))
        if event in _CHANGES and not self.common_settings.dryrun:
            self._show()

    def _note(self, event: Any, values: Mapping[str, Any]) -> None:
        """Keep what an event changes."""
        if event == LogEvent.RUN_INFO:
            if self.common_settings.dryrun and not self._total:  # Snakemake says it twice
                self._print(planned(values["stats"]))
            self._total = int(values["stats"].get("total", 0))
        elif event == LogEvent.JOB_INFO:
            self._rules[values["jobid"]] = values["rule_name"]
        elif event == LogEvent.JOB_STARTED:
            self._running += values["jobs"]
            self._failed -= set(values["jobs"])  # tried again
        elif event == LogEvent.JOB_FINISHED:
            self._running = [job for job in self._running if job != values["job_id"]]
        elif event == LogEvent.PROGRESS:
            self._done = values["done"]
        elif event == LogEvent.JOB_ERROR:
            self._failed.add(values["jobid"])
            self._running = [job for job in self._running if job != values["jobid"]]

    def close(self) -> None:
        """Leave the terminal as it was."""
        with self.lock or nullcontext():
            self._end_bar(stays=False)
        if self._stopping and not self._over.is_set():  # Python closes it once more
            self._print("Stopped. The same command goes on where this run was.")
        self._over.set()
        super().close()

    def _tick(self) -> None:
        """Let the bar's clock run while no job begins or ends."""
        while not self._over.wait(1):
            with self.lock or nullcontext():  # as emit is: no bar between its lines
                if self._bar is not None:
                    self._bar.refresh()

    def _end_bar(self, *, stays: bool) -> None:
        if self._bar is not None:
            self._bar.leave = stays
            self._bar.close()
            self._bar = None

    def _print(self, text: str) -> None:
        if text and self._bar is not None:
            self._bar.clear()
        if text:
            print(text, file=sys.stderr, flush=True)

    def _show(self) -> None:
        """Show how far the run is."""
        names = (_original(self._rules.get(job, "")) for job in self._running)
        failed = [f"{len(self._failed)} failed"] if self._failed else []
        running = ", ".join([*dict.fromkeys(names), *failed])
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=self._total, unit="job", dynamic_ncols=True, bar_format=_BAR)
            self._bar.total = self._total
            self._bar.set_postfix_str(running, refresh=False)
            self._bar.update(self._done - self._bar.n)
            self._bar.refresh()
            if self._done == self._total:  # what follows begins a line of its own
                self._end_bar(stays=True)
        elif time.monotonic() - self._said > EVERY or self._done == self._total:
            self._said = time.monotonic()
            minutes, seconds = divmod(round(self._said - self._start), 60)
            now = f"; running: {running}" if running else ""
            self._print(f"{self._done} of {self._total} jobs done after {minutes}:{seconds:02}{now}")
