import random

import pytest

from inference.cost import KEPT, KEPT_S, RENEWED_S, CostModel, Work, fit, snapshot_of

NOW = 1_000_000.0
RATES = (2.0, 5.0, 0.5)


def amounts(size: float) -> tuple[float, ...]:
    return (1.0, size, size * size / 10)


def true_ms(size: float) -> float:
    return sum(rate * amount for rate, amount in zip(RATES, amounts(size), strict=True))


def taught(seed_ms: float, sizes: list[float], disturb: dict[int, float] | None = None) -> CostModel:
    """A model with a first guess of so many milliseconds for size 1, that has seen images of these sizes."""
    model = CostModel()
    model.seed("run", [(amounts(times), seed_ms * times) for times in (1, 4, 16)])
    for number, size in enumerate(sizes):
        model.observe(Work("run", amounts(size)), true_ms(size) * (disturb or {}).get(number, 1.0), NOW + number)
    model.learn()
    return model


def predicted(model: CostModel, size: float, part: str = "run") -> float:
    return model.predict_ms([Work(part, amounts(size))])


def test_before_anything_was_seen_the_first_guess_counts() -> None:
    assert predicted(taught(3.0, []), 4) == pytest.approx(12, rel=0.1)


@pytest.mark.parametrize("wrong", [0.1, 1, 10])
def test_a_wrong_first_guess_is_forgotten_within_ten_images(wrong: float) -> None:
    drawn = random.Random(1)
    model = taught(true_ms(1) * wrong, [drawn.uniform(0.5, 30) for _ in range(10)])
    for size in (1, 5, 20):
        assert predicted(model, size) == pytest.approx(true_ms(size), rel=0.25)


def test_what_other_work_delayed_does_not_count() -> None:
    drawn = random.Random(2)
    sizes = [drawn.uniform(0.5, 30) for _ in range(30)]
    model = taught(true_ms(1), sizes, disturb=dict.fromkeys(range(0, 30, 4), 6.0))
    for size in (1, 5, 20):
        assert predicted(model, size) == pytest.approx(true_ms(size), rel=0.1)


def test_many_small_images_do_not_make_it_forget_the_large_ones() -> None:
    model = taught(1.0, [20.0, 21.0, 22.0, *[1.0] * 500])
    assert predicted(model, 21) == pytest.approx(true_ms(21), rel=0.1)


def test_it_follows_a_machine_that_becomes_slower() -> None:
    model = taught(true_ms(1), [1.0, 2.0, 4.0] * 10)
    for number in range(3 * KEPT):
        size = (1.0, 2.0, 4.0)[number % 3]
        model.observe(Work("run", amounts(size)), 2 * true_ms(size), NOW + 1000 + number * RENEWED_S)
    model.learn()
    assert predicted(model, 2) == pytest.approx(2 * true_ms(2), rel=0.1)


def test_what_it_knows_well_is_renewed_slowly() -> None:
    model, last = taught(1.0, [1.0] * KEPT), NOW + KEPT - 1
    model.observe(Work("run", amounts(1)), 2.0, last + RENEWED_S - 1)
    assert model.learn() == set()
    model.observe(Work("run", amounts(1)), 2.0, last + RENEWED_S)
    assert len(model.learn()) == 1


def test_a_part_that_nobody_measured_costs_like_the_one_that_is_named_for_its_kind() -> None:
    model = CostModel({"decode": "decode PNG"})
    model.seed("decode PNG", [(amounts(1), 20.0)])
    assert predicted(model, 1, "decode TIFF") == pytest.approx(20)
    for second in range(3):
        model.observe(Work("decode TIFF", amounts(1)), 5.0, NOW + second)
    model.learn()
    assert predicted(model, 1, "decode TIFF") == pytest.approx(5, rel=0.1)


def test_rates_are_never_below_zero() -> None:
    model = taught(1.0, [])
    for number, (size, ms) in enumerate([(1, 100), (2, 50), (4, 25), (8, 12)]):
        model.observe(Work("run", amounts(size)), ms, NOW + number)
    model.learn()
    assert all(rate >= 0 for rate in model.fits()["run"].rates)


def test_processes_that_exchange_their_samples_predict_the_same_in_whatever_order() -> None:
    one, other = taught(1.0, [1.0, 8.0]), taught(1.0, [3.0, 20.0])
    ones = one.snapshot([("run", size) for size in range(-20, 20)])
    others = other.snapshot([("run", size) for size in range(-20, 20)])
    for model, snapshots in ((one, [others, ones, others]), (other, [ones])):
        for snapshot in snapshots:
            model.merge(snapshot, NOW)
        model.learn()
    assert predicted(one, 10) == pytest.approx(predicted(other, 10))
    assert one.fits()["run"].samples == 4


def test_who_learns_nothing_tells_the_same_samples_as_who_does() -> None:
    measured = [("run", amounts(1), 8.0), ("run", amounts(40), 90.0), ("decode", (1.0,), 3.0), ("decode", (1.0,), 0.0)]
    model = CostModel()
    for part, size, ms in measured:
        model.observe(Work(part, size), ms, NOW)
    assert snapshot_of(measured, NOW) == model.snapshot(model.learn())


def test_what_is_merged_again_is_no_news() -> None:
    model = taught(1.0, [1.0, 8.0])
    model.merge(model.snapshot([("run", size) for size in range(-20, 20)]), NOW)
    assert model.learn() == set()


def test_samples_of_another_day_are_not_taken_over() -> None:
    model, old = taught(1.0, []), taught(1.0, [8.0])
    model.merge(old.snapshot([("run", size) for size in range(-20, 20)]), NOW + KEPT_S + 1)
    assert model.learn() == set()


def test_the_error_of_the_fit_is_told() -> None:
    assert taught(1.0, []).fits()["run"].error is None
    assert taught(1.0, [1.0, 5.0, 20.0]).fits()["run"].error == pytest.approx(0, abs=0.1)


def test_work_that_came_to_no_end_counts_where_it_took_more_than_was_predicted() -> None:
    cheap, dear = taught(1.0, [1.0, 2.0, 4.0]), taught(1.0, [1.0, 2.0, 4.0])
    for second in range(3):
        cheap.observe_least(Work("run", amounts(3)), 0.1, NOW + second)
        dear.observe_least(Work("run", amounts(300)), 10 * true_ms(300), NOW + second)
    assert (cheap.learn(), bool(dear.learn())) == (set(), True)
    assert predicted(dear, 300) > 5 * true_ms(300)
    assert predicted(dear, 2) == pytest.approx(true_ms(2), rel=0.5)


def test_a_part_that_is_forgotten_can_be_seen_again() -> None:
    model = taught(1.0, [1.0])
    model.forget("run")
    model.observe(Work("run", amounts(2)), 7.0, NOW)
    model.learn()
    assert predicted(model, 2) == pytest.approx(7, rel=0.1)


def test_one_sample_alone_is_fitted() -> None:
    model = taught(1.0, [2.0])
    [sample] = [sample for samples in model._samples.values() for sample in samples]
    fitted = fit([sample], [])
    assert sum(rate * amount for rate, amount in zip(fitted.rates, sample.amounts, strict=True)) == pytest.approx(
        sample.ms, rel=0.06)
