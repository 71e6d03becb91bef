"""What PUNNET_WORKERS, PUNNET_INLINE_SLOTS and PUNNET_JOB_WORKERS should be on this machine, for one model.

`.venv/bin/python -m bench.sizing [--model name]`. From short measurements: the bare loop in 1 to twice as many
processes as there are cores, how much of a prediction is native, what a process needs in memory. Half a minute on two
cores; nothing else should run meanwhile.
"""

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import machine
from bench.floor import QUICK_MODEL, Work, floor
from bench.page import Table, plain
from bench.pictures import leaf_jpegs
from inference.engine import Engine
from settings import available_cores, load_settings

SIDE = 224
SECONDS, RUNS = 1.0, 3  # the best run counts: what disturbs one only slows it
REPEATS = 20
ENOUGH = 0.95  # of the best throughput: fewer processes need less memory
MEMORY_SHARE = 0.5  # of the machine's that all processes together may take
NATIVE_PHASES = ("decode", "inference")  # Pillow and onnxruntime let go of the interpreter in them


@dataclass(frozen=True)
class Measurements:
    """`per_s` is the throughput by number of processes; `native_share` what of a prediction runs without the
    interpreter, and so beside another one in the same process."""

    cores: int
    per_s: Mapping[int, float]
    native_share: float
    process_mb: float
    memory_mb: float


@dataclass(frozen=True)
class Advice:
    setting: str
    value: int
    reason: str


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=__doc__)
    parser.add_argument("--model", default=QUICK_MODEL)
    model = parser.parse_args().model
    print(f"{machine.described(machine.facts())}\nModel {model}, JPEGs of {SIDE} px\n", flush=True)
    measured = measure(model)
    print(plain(Table(("processes", "bare loop, per second"), tuple(measured.per_s.items()))), end="\n\n")
    for advice in advise(measured):
        print(f"PUNNET_{advice.setting}={advice.value}   # {advice.reason}")


def measure(model: str) -> Measurements:
    cores, work = available_cores(), Work(leaf_jpegs(SIDE), model)
    return Measurements(cores, {count: _per_s(work, count) for count in process_counts(cores)},
                        *_one_process(work), machine.memory_mb())


def process_counts(cores: int) -> Sequence[int]:
    """From one to twice the cores, about six of them."""
    return sorted({1, *(max(1, round(cores * share)) for share in (0.5, 0.75, 1, 1.5, 2))})


def advise(measured: Measurements) -> list[Advice]:
    """Pure."""
    workers = _workers(measured)
    return [workers, _slots(measured, workers.value), _job_workers(measured, workers.value)]


def _workers(measured: Measurements) -> Advice:
    """The fewest that are as good as the best, and that memory has room for."""
    best = max(measured.per_s.values())
    wanted = min(count for count, per_s in measured.per_s.items() if per_s >= best * ENOUGH)
    room = _room(measured)
    if wanted > room:
        return Advice("WORKERS", room, f"{wanted} would be faster, but {measured.process_mb:.0f} MB each must fit")
    return Advice("WORKERS", wanted, f"{measured.per_s[wanted]:.0f} predictions a second in the bare loop, the best of "
                                     f"any number is {best:.0f}")


def _slots(measured: Measurements, workers: int) -> Advice:
    """More than one only where the processes leave cores idle: a slot more is a core's worth of native time."""
    native = f"{measured.native_share:.0%} of a prediction runs without the interpreter"
    if workers >= measured.cores:
        return Advice("INLINE_SLOTS", 1, f"the processes use all cores ({native})")
    most = max(1, math.floor(1 / max(1 - measured.native_share, 0.01)))
    return Advice("INLINE_SLOTS", min(most, math.ceil(measured.cores / workers)),
                  f"{native}, so threads of one process can use the cores that the processes leave")


def _job_workers(measured: Measurements, workers: int) -> Advice:
    wanted = max(1, measured.cores // 2)
    value = max(1, min(wanted, _room(measured) - workers))
    reason = ("half of the cores; they run at low priority and take what quick pictures leave" if value == wanted
              else f"no room for more in memory ({measured.process_mb:.0f} MB each)")
    return Advice("JOB_WORKERS", value, reason)


def _room(measured: Measurements) -> int:
    """Processes that fit in memory if each had a copy of its own, which those loaded before the fork have not."""
    return max(1, int(measured.memory_mb * MEMORY_SHARE / measured.process_mb))


def _per_s(work: Work, processes: int) -> float:
    with floor(processes) as bare:
        return max(bare.run(work, SECONDS).per_s for _ in range(RUNS))


def _one_process(work: Work) -> tuple[float, float]:
    """Share of native time, and MB of a process with this model, here."""
    settings = load_settings()
    engine = Engine(settings.models_dir, settings.max_pixels)
    engine.load()
    parameters, native_ms, all_ms = engine.parameters(work.model, {}), 0.0, 0.0
    for number in range(REPEATS):
        image = engine.open(work.pictures[number % len(work.pictures)])
        times_ms = engine.predict(work.model, image, parameters).timings_ms
        native_ms += sum(times_ms.get(phase, 0.0) for phase in NATIVE_PHASES)
        all_ms += sum(times_ms.values())
    return native_ms / all_ms, machine.pss_mb([os.getpid()])


if __name__ == "__main__":
    main()
