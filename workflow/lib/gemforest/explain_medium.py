"""`gemforest explain GENOME --medium M`: why a genome grows on a medium or does not, and what was filled for it.

What the stages left is read: the outcome in the gap-filling's file, `fills`, `gapfills`. What they cannot know, because
the genome was not asked to grow on the medium, is worked out here on its draft and its filled model.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gemforest.energy import universe_closed_directions
from gemforest.explain import rows_of, shard_of
from gemforest.fluxes import with_bounds
from gemforest.gapfill import Draft, counted_growth, read_draft, without_cycles
from gemforest.gapfill.diagnosis import in_words, unmakeable
from gemforest.gapfill.guards import carbon_sources
from gemforest.gapfill.reach import universe_reach
from gemforest.ledger import LedgerRow, Outcome
from gemforest.media import exchange_bounds, read_media
from gemforest.models import Network
from gemforest.stage import Context
from gemforest.store import read_metadata
from gemforest.universe import subnetwork

MOST_SHOWN = 12


def explain_medium(context: Context, genome_id: str, medium: str) -> str:
    """The case of a genome and a medium, as text.

    Raises
    ------
    InputError
        The genome is not in the plan, or there is no such medium.
    """
    shard = shard_of(context, genome_id)
    uptake = context.config["growth"]["uptake"]
    uptakes = read_media(context.project / context.config["media"]).uptakes(medium, uptake)
    reactions, drafts, scores = (
        rows_of(context, name, shard, genome_id) for name in ("draft_reactions", "drafts", "reaction_scores")
    )
    lines = [f"{genome_id} on {medium}:"]
    stopped = _outcome(context, shard, genome_id)
    if reactions is None or drafts is None or scores is None or not drafts.num_rows:
        return "\n".join([*lines, f"  there is no draft; {stopped or '`gemforest status` tells why'}"])
    draft = read_draft(reactions, drafts, scores, context)
    lines += [f"  gapfill   {stopped}"] if stopped else []
    lines += _universe(context, draft, uptakes, uptake)
    closed = universe_closed_directions(draft.universe, context.cache)
    own = without_cycles(subnetwork(draft.universe, draft.reactions, {}, genome_id), closed)
    lines += [f"  draft     {line}" for line in _state(own, uptakes, uptake, _least(context))]
    for row in _rows(context, "gapfills", shard, genome_id, medium):
        lines.append(f"  filled    {_addition(row)}")
    model = rows_of(context, "model_reactions", shard, genome_id)
    if model is not None and model.num_rows:
        lines += [f"  model     {line}" for line in _state(_model(draft, model), uptakes, uptake, _least(context))]
    return "\n".join(lines)


def _least(context: Context) -> float:
    least: float = context.config["gapfill"]["min_growth_per_h"]
    return least


def _outcome(context: Context, shard: str, genome_id: str) -> str:
    """What stopped the genome at gap-filling; empty where nothing did."""
    metadata = read_metadata(context.store.table_path("model_reactions", shard, genome_id))
    if not metadata or "ledger" not in metadata:
        return ""
    row = LedgerRow.from_json(metadata["ledger"])
    return "" if row.outcome is Outcome.OK else f"{row.outcome}, {row.reason}: {row.detail}"


def _universe(context: Context, draft: Draft, uptakes: dict[str, float] | None, uptake: float) -> list[str]:
    closed = universe_closed_directions(draft.universe, context.cache)
    reach = universe_reach(draft.universe, closed, uptakes, uptake, _least(context), context.cache)
    if reach.growth_per_h >= _least(context):
        return [f"  universe  {draft.universe_name} grows here, {reach.growth_per_h:.3g} 1/h with every reaction"]
    return [f"  universe  even {draft.universe_name} as a whole {in_words(reach.missing, reach.mending)}"]


def _state(network: Network, uptakes: dict[str, float] | None, uptake: float, least: float) -> list[str]:
    """Growth of a network on the medium, and what it lacks."""
    on = with_bounds(network, exchange_bounds(network, uptakes, uptake))
    rate, without = counted_growth(network, uptakes, uptake)
    sources = list(carbon_sources(network, uptakes))
    lines = [f"growth {rate:.4g} 1/h, {without:.4g} without the carbon sources ({_some(sources)})"]
    if rate - without < least:
        missing = unmakeable(on)
        lines.append(
            f"cannot make {_some(missing)}" if missing else "makes every precursor, but not all of them at once"
        )
        if uptakes is not None:
            unable = sorted(c for c in uptakes if f"EX_{c}_e" not in network.reactions)
            lines += [f"cannot take up {_some(unable)}"] if unable else []
    return lines


def _model(draft: Draft, table: pa.Table) -> Network:
    """The model that the table tells of, with the table's bounds."""
    rows = {row["reaction"]: (row["lower_bound"], row["upper_bound"]) for row in table.to_pylist()}
    return with_bounds(subnetwork(draft.universe, list(rows), {}, "model"), rows)


def _rows(context: Context, table: str, shard: str, genome_id: str, medium: str) -> list[dict[str, Any]]:
    found = rows_of(context, table, shard, genome_id)
    return [] if found is None else found.filter(pc.equal(found["medium"], medium)).to_pylist()


def _addition(row: dict[str, Any]) -> str:
    parts = [f"{row['reaction']}, cost {row['cost']:.3g}"]
    parts += [f"unblocks {_some(row['unblocks'])}"] if row["unblocks"] else []
    parts += [f"candidate genes {_some(row['candidate_genes'])}"] if row["candidate_genes"] else ["no gene for it"]
    parts += [", ".join(row["flags"])] if row["flags"] else []
    return "; ".join(parts)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return (", ".join(names[:MOST_SHOWN]) or "none") + more
