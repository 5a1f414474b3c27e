"""Pure statistics: each number has its uncertainty, or the reason why it cannot be told."""

from kiln_mcp.statistics.agreement import (
    ConstantAnswer,
    best_constant_answer,
    cohens_kappa,
    kappa_interval,
    percent_agreement,
)
from kiln_mcp.statistics.audit_design import AuditDesign, AuditResult, prior_of
from kiln_mcp.statistics.bayesian_bootstrap import ValueRange, bayesian_mean_interval
from kiln_mcp.statistics.best_mean import BestMean, best_mean
from kiln_mcp.statistics.betting_audit import (
    AuditStanding,
    ClaimStanding,
    Limits,
    audit_standing,
    draw_probabilities,
)
from kiln_mcp.statistics.claim_levels import level_of_use
from kiln_mcp.statistics.correlation import kendall_tau_b, pearson, spearman
from kiln_mcp.statistics.detection import detection_share, items_to_tell_apart
from kiln_mcp.statistics.differences import (
    PairedCounts,
    newcombe_interval,
    paired_newcombe_interval,
)
from kiln_mcp.statistics.distance import mean_absolute_error, mean_squared_error
from kiln_mcp.statistics.draw_replay import StoredDraw, replays
from kiln_mcp.statistics.interval import CannotTell, Interval
from kiln_mcp.statistics.label_forecast import LabelForecast, forecast_labels
from kiln_mcp.statistics.pareto import pareto_front
from kiln_mcp.statistics.proportions import jeffreys_interval, wilson_interval
from kiln_mcp.statistics.repeats import clustered_rate_interval, pass_all_rate, pass_any_rate
from kiln_mcp.statistics.scales import Measure, Scale, scale_of
from kiln_mcp.statistics.score_columns import ScoreColumns, score_columns
from kiln_mcp.statistics.significance import holm, mcnemar_exact, sign_test, wilcoxon_signed_rank
from kiln_mcp.statistics.simultaneous import (
    BestSystems,
    SystemDifference,
    best_systems,
    differences_from,
)
from kiln_mcp.statistics.stratified_posterior import (
    Estimate,
    JudgeEstimates,
    PairStratum,
    ShareStratum,
    agreement_strata,
    judge_estimates,
    share_estimate,
)
from kiln_mcp.statistics.two_sample import TwoSampleTest, two_sample_test
from kiln_mcp.statistics.unbiased_table import DrawnPair, unbiased_table
from kiln_mcp.statistics.variance import VarianceComponents, variance_components

__all__ = [
    "AuditDesign",
    "AuditResult",
    "AuditStanding",
    "BestMean",
    "BestSystems",
    "CannotTell",
    "ClaimStanding",
    "ConstantAnswer",
    "DrawnPair",
    "Estimate",
    "Interval",
    "JudgeEstimates",
    "LabelForecast",
    "Limits",
    "Measure",
    "PairStratum",
    "PairedCounts",
    "Scale",
    "ScoreColumns",
    "ShareStratum",
    "StoredDraw",
    "SystemDifference",
    "TwoSampleTest",
    "ValueRange",
    "VarianceComponents",
    "agreement_strata",
    "audit_standing",
    "bayesian_mean_interval",
    "best_constant_answer",
    "best_mean",
    "best_systems",
    "clustered_rate_interval",
    "cohens_kappa",
    "detection_share",
    "differences_from",
    "draw_probabilities",
    "forecast_labels",
    "holm",
    "items_to_tell_apart",
    "jeffreys_interval",
    "judge_estimates",
    "kappa_interval",
    "kendall_tau_b",
    "level_of_use",
    "mcnemar_exact",
    "mean_absolute_error",
    "mean_squared_error",
    "newcombe_interval",
    "paired_newcombe_interval",
    "pareto_front",
    "pass_all_rate",
    "pass_any_rate",
    "pearson",
    "percent_agreement",
    "prior_of",
    "replays",
    "scale_of",
    "score_columns",
    "share_estimate",
    "sign_test",
    "spearman",
    "two_sample_test",
    "unbiased_table",
    "variance_components",
    "wilcoxon_signed_rank",
    "wilson_interval",
]
