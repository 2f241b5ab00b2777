"""``dispatcher demo``: the whole service, seen from end to end.

``scenario``  what is played, and what must come of it: data.
``stage``     starts and ends the real service and the sample applications.
``rp``        a sample application that verifies its logout tokens and ends its sessions.
``source``    signs and sends webhooks, as an OpenID Provider would.
``play``      tells sessions and events, waits, and compares.
``table``     what is printed.
"""

import signal

import anyio
from rich.console import Console

from dispatcher.commands.demo.play import Check, concluded, performed
from dispatcher.commands.demo.scenario import SCENARIO, Scenario
from dispatcher.commands.demo.stage import DemoFailed, Stage, staged
from dispatcher.commands.demo.table import (
    MEANWHILE,
    applications_table,
    check_line,
    outcome_table,
    overture,
    screen,
    verdict,
    while_it_stays,
)

__all__ = ["demo"]


async def demo(*, stay: bool) -> bool:
    """Play the scenario and print what came of it; return whether all is as it should be.

    With *stay* everything goes on running until Ctrl+C. A signal ends everything in order.
    """
    stop = anyio.Event() if stay else None
    all_well = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_on_signal, stop, tasks.cancel_scope)
        all_well = await show(SCENARIO, screen(), stop=stop)
        tasks.cancel_scope.cancel()
    return all_well


async def _end_on_signal(stop: anyio.Event | None, scope: anyio.CancelScope) -> None:
    """Set *stop* at the first signal, where there is somebody who waits for it; else cancel."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            if stop is None or stop.is_set():
                scope.cancel()
            else:
                stop.set()


async def show(scenario: Scenario, shown: Console, *, stop: anyio.Event | None = None) -> bool:
    """Play *scenario* on a stage of its own and print it; with *stop*, stay until it is set."""
    checks: list[Check] = []
    try:
        async with staged(scenario) as stage:
            checks += await _play(stage, scenario, shown)
            if stop is not None:
                shown.print(while_it_stays(stage, scenario), soft_wrap=True)
                await stop.wait()
        checks.append(_ended_well(stage, shown))
    except* DemoFailed as failed:
        for error in failed.exceptions:
            Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        checks.append(Check("end", "the demo could not be played to its end", ok=False))
    shown.print()
    shown.print(verdict(checks))
    return all(check.ok for check in checks)


async def _play(stage: Stage, scenario: Scenario, shown: Console) -> list[Check]:
    shown.print(overture(stage))
    shown.print(applications_table(scenario))
    shown.print(MEANWHILE)
    rows, checks = concluded(stage, scenario, await performed(stage, scenario))
    shown.print(outcome_table(rows, width=shown.width))
    shown.print()
    for check in checks:
        shown.print(check_line(check))
    return checks


def _ended_well(stage: Stage, shown: Console) -> Check:
    check = Check(
        "end", f"at SIGTERM the service exited with {stage.exit_code}", ok=stage.exit_code == 0
    )
    shown.print(check_line(check))
    if not check.ok:
        Console(stderr=True).print(stage.last_words, markup=False, highlight=False, soft_wrap=True)
    return check
