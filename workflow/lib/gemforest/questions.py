"""Ready questions to the atlas, as data: `gemforest query --list` shows them, `--ask NAME` asks one.

Each is one SELECT over the views of `views.py`; `$name` stands for a parameter, which `--with name=value` sets. What a
question cannot know is said in its `note`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """What may be set in a question; a value is read as the default's type."""

    name: str
    default: str | float
    meaning: str


@dataclass(frozen=True)
class Question:
    """A question in words and in SQL."""

    name: str
    asks: str
    sql: str
    parameters: tuple[Parameter, ...] = ()
    note: str = ""


QUESTIONS: tuple[Question, ...] = (
    Question(
        "makers",
        "Who makes butyrate without oxygen?",
        """
        SELECT models.genome_id, organism, answer, flux AS secreted_mmol_per_gdw_h, screens.growth_per_h
        FROM screens JOIN models USING (genome_id)
        WHERE screen = 'product' AND condition = 'anaerobic' AND compound = $compound
        ORDER BY flux DESC NULLS LAST, answer, models.genome_id
        """,
        (Parameter("compound", "but", "BiGG id of the product: ac, but, etoh, for, h2, lac__L, ppa, succ, ..."),),
        "Most first. `no_growth`: no growth without oxygen on the genome's medium, so nothing is said of products; "
        "`not_in_model`: the model has no way out for the compound.",
    ),
    Question(
        "cobalamin",
        "Who may need cobalamin (vitamin B12)?",
        """
        WITH cobalamin(reaction, part) AS (VALUES
                 ('ETHAAL', 'user'), ('MMM', 'user'), ('MMM2', 'user'),             -- EC 4.3.1.7, 5.4.99.2
                 ('12PPDRDH', 'user'), ('12PPDSDH', 'user'), ('GLYCDH', 'user'),    -- EC 4.2.1.28, 4.2.1.30
                 ('COB1NDAAT1', 'step'), ('COB1NDAAT2', 'step'), ('CBIAT', 'step'), ('CBLAT', 'step'),
                 ('ADCPS1', 'step'), ('ADCPS2', 'step'), ('ADOCBIAH', 'step'), ('ADOCBIK', 'step'),
                 ('GDOCBIK', 'step'), ('ACBIPGT', 'step'), ('ADOCBLS', 'step'), ('ADOCBLPS', 'step')),
             held AS (SELECT genome_id, reaction, part FROM model_reactions JOIN cobalamin USING (reaction)
                      WHERE gpr <> '')
        SELECT models.genome_id, organism, count(*) FILTER (part = 'user') AS users,
               string_agg(reaction, ' ' ORDER BY reaction) FILTER (part = 'user') AS user_reactions,
               count(*) FILTER (part = 'step') AS assembly_steps,
               string_agg(reaction, ' ' ORDER BY reaction) FILTER (part = 'step') AS assembly_reactions
        FROM models LEFT JOIN held USING (genome_id)
        GROUP BY models.genome_id, organism ORDER BY users DESC, assembly_steps, models.genome_id
        """,
        note="Counts reactions with genes: enzymes that work with cobalamin, and steps of its assembly and salvage. "
        "CarveMe's universes neither exchange cobalamin nor ask for it in biomass, so no growth screen can tell.",
    ),
    Question(
        "recurring_fills",
        "Which gap-filled reactions recur, and in how many genomes do they lack even a candidate gene?",
        """
        SELECT reaction, count(DISTINCT genome_id) AS genomes,
               count(DISTINCT genome_id) FILTER (coalesce(len(candidate_genes), 0) = 0) AS without_candidates,
               round(avg(cost), 3) AS mean_cost,
               array_to_string(list_sort(list_distinct(flatten(list(coalesce(unblocks, []))))), ' ') AS unblocks
        FROM gapfills GROUP BY reaction ORDER BY genomes DESC, without_candidates DESC, reaction
        """,
    ),
    Question(
        "auxotrophies",
        "Which nutrients are needed by most genomes?",
        """
        SELECT compound, count(*) FILTER (answer = 'needed') AS genomes,
               count(*) FILTER (answer IN ('needed', 'not_needed')) AS tested,
               round(genomes / nullif(tested, 0), 4) AS share,
               string_agg(genome_id, ' ' ORDER BY genome_id) FILTER (answer = 'needed') AS who
        FROM screens WHERE screen = 'auxotrophy' GROUP BY compound
        ORDER BY genomes DESC, tested DESC, compound
        """,
        note="A genome counts as tested where its model takes up the nutrient and grows with all of them given.",
    ),
    Question(
        "growth_on",
        "Who grows on a compound as the only source of carbon?",
        """
        SELECT models.genome_id, organism, answer, growth_calls.growth_per_h, growth_score, condition
        FROM growth_calls JOIN models USING (genome_id)
        WHERE screen = $screen AND compound = $compound
        ORDER BY growth_calls.growth_per_h DESC NULLS LAST, models.genome_id
        """,
        (
            Parameter("compound", "glc__D", "BiGG id of the compound"),
            Parameter("screen", "carbon", "carbon, nitrogen, phosphorus or sulfur"),
        ),
    ),
    Question(
        "failures",
        "Which genomes were stopped, where and why?",
        """
        SELECT genome_id, stopped_at, outcome, reason, detail FROM outcomes WHERE outcome <> 'ok'
        ORDER BY stopped_at, reason, genome_id
        """,
        note="`gemforest retry` tries them again; what mends each is in `detail`.",
    ),
    Question(
        "core_reactions",
        "Which reactions do (nearly) all models hold?",
        """
        SELECT reaction, models, round(share, 4) AS share, with_genes, gapfilled FROM reaction_content
        WHERE share >= $share AND reaction NOT LIKE 'EX\\_%' ESCAPE '\\'
        ORDER BY models DESC, with_genes DESC, reaction
        """,
        (Parameter("share", 1.0, "least share of the models, 0 to 1"),),
    ),
    Question(
        "largest_fills",
        "Which models owe most to gap-filling?",
        """
        SELECT genome_id, organism, medium, gapfilled, reactions, round(gapfilled / reactions, 5) AS share, growth_per_h
        FROM models ORDER BY gapfilled DESC, share DESC, genome_id
        """,
    ),
    Question(
        "without_evidence",
        "Which reactions are held most often without a gene?",
        """
        SELECT reaction, models, models - with_genes AS without_genes, gapfilled FROM reaction_content
        WHERE models > with_genes AND reaction NOT LIKE 'EX\\_%' ESCAPE '\\'
        ORDER BY without_genes DESC, reaction
        """,
        note="Spontaneous reactions and the biomass reaction have no gene either, and rightly so.",
    ),
    Question(
        "alike",
        "Which models are most like a genome's, by the reactions that they share?",
        """
        WITH sizes AS (SELECT genome_id, count(*) AS reactions FROM model_reactions GROUP BY genome_id),
             one AS (SELECT coalesce(nullif($genome, ''), (SELECT min(genome_id) FROM sizes)) AS genome_id),
             own AS (SELECT reaction FROM model_reactions WHERE genome_id = (SELECT genome_id FROM one))
        SELECT (SELECT genome_id FROM one) AS genome, other.genome_id AS other, count(*) AS shared,
               any_value(sizes.reactions) AS reactions_of_other,
               round(shared / ((SELECT count(*) FROM own) + reactions_of_other - shared), 4) AS jaccard
        FROM model_reactions AS other JOIN own USING (reaction) JOIN sizes ON sizes.genome_id = other.genome_id
        WHERE other.genome_id <> (SELECT genome_id FROM one)
        GROUP BY other.genome_id ORDER BY jaccard DESC, other
        """,
        (Parameter("genome", "", "genome_id; empty takes the first"),),
    ),
    Question(
        "to_look_at",
        "Which models should a person look at, and at what?",
        """
        SELECT genome_id, measure, value, unit, detail FROM quality WHERE flagged ORDER BY genome_id, measure
        """,
    ),
    Question(
        "costs",
        "What did each stage cost?",
        """
        SELECT stage, count(*) AS genomes, round(sum(seconds), 1) AS seconds,
               round(median(seconds), 2) AS median_seconds, round(max(seconds), 1) AS longest_seconds,
               round(max(peak_mb)) AS peak_mb
        FROM ledger GROUP BY stage ORDER BY sum(seconds) DESC
        """,
    ),
)
