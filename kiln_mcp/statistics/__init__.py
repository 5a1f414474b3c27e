"""Pure statistics: each number has its uncertainty, or the reason why it cannot be told."""

from kiln_mcp.statistics.agreement import (
    ConstantAnswer,
    DetectionCounts,
    LabelStratum,
    best_constant_answer,
    cohens_kappa,
    kappa_interval,
    percent_agreement,
    stratified_kappa,
    stratified_kappa_interval,
)
from kiln_mcp.statistics.best_mean import BestMean, best_mean
from kiln_mcp.statistics.bootstrap import bootstrap_mean_interval
from kiln_mcp.statistics.claim_levels import level_of_use
from kiln_mcp.statistics.correlation import kendall_tau_b, pearson, spearman
from kiln_mcp.statistics.detection import detection_share, items_to_tell_apart
from kiln_mcp.statistics.differences import (
    PairedCounts,
    newcombe_interval,
    paired_newcombe_interval,
    post_stratified_difference,
)
from kiln_mcp.statistics.distance import mean_absolute_error, mean_squared_error
from kiln_mcp.statistics.interval import CannotTell, Interval
from kiln_mcp.statistics.pareto import pareto_front
from kiln_mcp.statistics.proportions import (
    Stratum,
    jeffreys_interval,
    post_stratified_estimate,
    post_stratified_interval,
    wilson_interval,
)
from kiln_mcp.statistics.repeats import clustered_rate_interval, pass_all_rate, pass_any_rate
from kiln_mcp.statistics.score_columns import ScoreColumns, score_columns
from kiln_mcp.statistics.significance import holm, mcnemar_exact, sign_test, wilcoxon_signed_rank
from kiln_mcp.statistics.simultaneous import (
    BestSystems,
    SystemDifference,
    best_systems,
    differences_from,
)
from kiln_mcp.statistics.variance import VarianceComponents, variance_components

__all__ = [
    "BestMean",
    "BestSystems",
    "CannotTell",
    "ConstantAnswer",
    "DetectionCounts",
    "Interval",
    "LabelStratum",
    "PairedCounts",
    "ScoreColumns",
    "Stratum",
    "SystemDifference",
    "VarianceComponents",
    "best_constant_answer",
    "best_mean",
    "best_systems",
    "bootstrap_mean_interval",
    "clustered_rate_interval",
    "cohens_kappa",
    "detection_share",
    "differences_from",
    "holm",
    "items_to_tell_apart",
    "jeffreys_interval",
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
    "post_stratified_difference",
    "post_stratified_estimate",
    "post_stratified_interval",
    "score_columns",
    "sign_test",
    "spearman",
    "stratified_kappa",
    "stratified_kappa_interval",
    "variance_components",
    "wilcoxon_signed_rank",
    "wilson_interval",
]
