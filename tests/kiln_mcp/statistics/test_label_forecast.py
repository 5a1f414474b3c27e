from kiln_mcp.statistics import AuditDesign, AuditResult, CannotTell, LabelForecast, forecast_labels

DESIGN = AuditDesign(sizes=(300, 100), priors=(0.9, 0.6))


def results(count: int, wrong: int) -> list[AuditResult]:
    """Return results of draws, of which the first ones disagree."""
    return [AuditResult(n % 2, (0.5, 0.5), n >= wrong) for n in range(count)]


def test_a_claim_that_is_nearly_shown_takes_few_more_labels() -> None:
    forecast = forecast_labels(DESIGN, results(40, 2), 0.8, seed=1)
    assert isinstance(forecast, LabelForecast)
    assert forecast.share > 0.9
    assert forecast.smallest is not None
    assert forecast.largest is not None
    assert 1 <= forecast.smallest <= forecast.largest < 150


def test_a_claim_above_what_was_seen_may_never_be_certified() -> None:
    forecast = forecast_labels(DESIGN, results(40, 14), 0.9, seed=1)
    assert isinstance(forecast, LabelForecast)
    assert forecast.may_never_end


def test_too_few_labels_make_no_forecast() -> None:
    assert isinstance(forecast_labels(DESIGN, results(29, 1), 0.8), CannotTell)


def test_the_same_seed_gives_the_same_forecast() -> None:
    first, again = (forecast_labels(DESIGN, results(30, 3), 0.8, seed=4) for _ in range(2))
    assert first == again
