"""Every table's columns: pyarrow schemas with a unit and a sentence of documentation in each field's metadata.

A table is one Parquet file per genome, `results/<table>/shard=NNNN/<genome_id>.parquet`. All tables are declared here
from the start, also those whose stage comes later, so that readers can rely on names, types and units. The stage that
writes a table is named with it; the first table of a stage is its main table, whose file also carries the ledger row.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

FLUX = "mmol gDW^-1 h^-1"
GROWTH = "h^-1"
MASS = "g mol^-1"
KCAT = "s^-1"
ENZYME_COST = "mg h mmol^-1"

TEXTS = pa.list_(pa.string())


def column(name: str, kind: pa.DataType, doc: str, unit: str = "") -> pa.Field:
    """A field whose metadata holds `doc` and, where there is one, `unit`."""
    metadata = {"doc": doc} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


GENOME_ID = column("genome_id", pa.string(), "identity of the genome: the accession or the sheet's name")
REACTION = column("reaction", pa.string(), "BiGG reaction id as in the universe, without R_")
MEDIUM = column("medium", pa.string(), "name of the medium in config/media.tsv")
CONDITION = column("condition", pa.string(), "aerobic | anaerobic")
STATUS = column("status", pa.string(), "status of the linear programme; values beside it are null unless optimal")


@dataclass(frozen=True)
class Table:
    """One table: its name, the stage that writes it, what a row is, its columns."""

    name: str
    stage: str
    row: str
    schema: pa.Schema

    def empty(self) -> pa.Table:
        """The table with no rows: what a genome leaves that did not get through."""
        return self.schema.empty_table()


EVIDENCE_ITEM = pa.struct(
    [
        column("source", pa.string(), "letter of the source: D N E A U P"),
        column("version", pa.string(), "version of the source"),
        column("target", pa.string(), "database entry, neighbour, EC number or user row that spoke"),
        column("value", pa.float64(), "raw value as the source gives it"),
        column("identity_percent", pa.float64(), "sequence identity, where there is an alignment", "percent"),
        column("query_coverage", pa.float64(), "aligned share of the query"),
        column("target_coverage", pa.float64(), "aligned share of the target"),
        column("log_likelihood_ratio", pa.float64(), "what this item adds to the log-odds"),
    ]
)

_DECLARED = [
    Table(
        "genomes",
        "fetch",
        "one row: where the genome came from and what is known of it",
        pa.schema(
            [
                GENOME_ID,
                column("source", pa.string(), "source as in the sheet; a web address without its query"),
                column("source_kind", pa.string(), "protein_fasta | nucleotide_fasta | genbank, by content"),
                column("file", pa.string(), "file that the next stage reads, relative to the project where inside it"),
                column("file_sha256", pa.string(), "SHA-256 of the file"),
                column("file_bytes", pa.int64(), "size of the file", "byte"),
                column("accession", pa.string(), "accession with version, where the source has one"),
                column("organism", pa.string(), "organism name from the archive"),
                column("taxid", pa.int64(), "NCBI taxonomy id"),
                column("taxonomy", pa.string(), "lineage, semicolon-separated, domain first"),
                column("assembly_level", pa.string(), "complete | chromosome | scaffold | contig"),
                column("completeness_percent", pa.float64(), "CheckM completeness", "percent"),
                column("contamination_percent", pa.float64(), "CheckM contamination", "percent"),
                column("ani_status", pa.string(), "NCBI's taxonomy check by average nucleotide identity"),
                column("contigs", pa.int64(), "sequences in the assembly"),
                column("n50_bp", pa.int64(), "contig N50", "base pair"),
                column("genome_bp", pa.int64(), "total length", "base pair"),
                column("tags", pa.map_(pa.string(), pa.string()), "further columns of the sheet"),
            ]
        ),
    ),
    Table(
        "proteins",
        "genes",
        "one protein-coding gene",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "id in the source file, made unique in the genome"),
                column("seq_key", pa.binary(32), "SHA-256 of the normalised protein"),
                column("sequence", pa.string(), "normalised protein: upper case, other than the 25 letters is X"),
                column("length", pa.int32(), "residues", "residue"),
                column("mass_g_per_mol", pa.float64(), "mass of the protein; null above 5 % X", MASS),
                column("description", pa.string(), "rest of the header, or the product"),
                column("locus_tag", pa.string(), "locus tag, where the source has one"),
                column("ec", TEXTS, "EC numbers given by the source"),
                column("contig", pa.string(), "sequence that the gene lies on"),
                column("start", pa.int64(), "first base, 1-based", "base pair"),
                column("end", pa.int64(), "last base, inclusive", "base pair"),
                column("strand", pa.int8(), "1 or -1"),
                column("partial", pa.bool_(), "the gene runs over the end of its contig"),
                column("flags", TEXTS, "inner_stop | renamed | odd_letters | truncated"),
            ]
        ),
    ),
    Table(
        "gene_sets",
        "genes",
        "one row: how the genes of the genome were found",
        pa.schema(
            [
                GENOME_ID,
                column("content", pa.string(), "protein_fasta | nucleotide_fasta | genbank, by content"),
                column(
                    "mode", pa.string(), "given | single | meta | genes: read, or called by pyrodigal, or translated"
                ),
                column("genetic_code", pa.string(), "code that genes were called with; null where they were given"),
                column("coding_density", pa.float64(), "share of the bases that lie in called genes"),
                column("contigs", pa.int64(), "sequences in the file; null for proteins"),
                column("genome_bp", pa.int64(), "total length; null for proteins", "base pair"),
                column("n50_bp", pa.int64(), "half of the bases lie in contigs at least as long", "base pair"),
                column("proteins", pa.int64(), "proteins"),
                column("distinct_proteins", pa.int64(), "different sequences among them"),
                column("residues", pa.int64(), "residues of all proteins", "residue"),
            ]
        ),
    ),
    Table(
        "hits",
        "homology",
        "one alignment of a protein with a protein of CarveMe's database, as DIAMOND reports it",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                column("target", pa.string(), "database protein, model.gene"),
                column("identity_percent", pa.float64(), "identical residues of the alignment", "percent"),
                column("alignment_length", pa.int32(), "columns of the alignment", "residue"),
                column("mismatches", pa.int32(), "mismatched columns"),
                column("gap_openings", pa.int32(), "gaps opened"),
                column("query_start", pa.int32(), "first aligned residue of the gene, 1-based", "residue"),
                column("query_end", pa.int32(), "last aligned residue of the gene", "residue"),
                column("target_start", pa.int32(), "first aligned residue of the target, 1-based", "residue"),
                column("target_end", pa.int32(), "last aligned residue of the target", "residue"),
                column("evalue", pa.float64(), "expected chance hits"),
                column("bitscore", pa.float64(), "bit score", "bit"),
                column("query_length", pa.int32(), "length of the gene's protein", "residue"),
                column("target_length", pa.int32(), "length of the target", "residue"),
            ]
        ),
    ),
    Table(
        "homologs",
        "homology",
        "one database protein within half of the best bit score of a gene; deeper than `hits`, fewer columns",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                column("target", pa.string(), "database protein, model.gene"),
                column("identity_percent", pa.float32(), "identical residues of the alignment", "percent"),
                column("bitscore", pa.float32(), "bit score", "bit"),
                column("query_coverage", pa.float32(), "aligned share of the gene's protein"),
                column("target_coverage", pa.float32(), "aligned share of the target"),
            ]
        ),
    ),
    Table(
        "enzyme_hits",
        "homology",
        "one reviewed enzyme that a gene resembles, within half of its best bit score",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                column("target", pa.string(), "UniProt accession"),
                column("identity_percent", pa.float32(), "identical residues of the alignment", "percent"),
                column("bitscore", pa.float32(), "bit score", "bit"),
                column("query_coverage", pa.float32(), "aligned share of the gene's protein"),
                column("target_coverage", pa.float32(), "aligned share of the enzyme"),
            ]
        ),
    ),
    Table(
        "reaction_scores",
        "evidence",
        "one reaction of the universe for which the genome has evidence; `score` is null where CarveMe gives none",
        pa.schema(
            [
                GENOME_ID,
                REACTION,
                column("score", pa.float64(), "CarveMe's score: best protein, mean over its subunits", "bit"),
                column("normalized_score", pa.float64(), "score over the median positive score, one decimal"),
                column("gpr", pa.string(), "gene rule: and within complexes, or between isozymes"),
                column("probability", pa.float64(), "calibrated probability that the genome has the reaction"),
                column("universe", pa.string(), "universe that the scores are for"),
            ]
        ),
    ),
    Table(
        "lineages",
        "evidence",
        "one row: the universe that the genome is drafted from, and why",
        pa.schema(
            [
                GENOME_ID,
                column("universe", pa.string(), "bacteria | gramneg | grampos | cyanobacteria | archaea"),
                column("decided_by", pa.string(), "sheet | auto"),
                column(
                    "score", pa.float64(), "probability of the universe as the rule sees it; null if from the sheet"
                ),
                column("uncertain", pa.bool_(), "bacteria was chosen for want of a sure Gram type"),
                column("votes", pa.map_(pa.string(), pa.float64()), "share of best hits of each group of organisms"),
                column("markers", pa.map_(pa.string(), pa.int32()), "families found of each marker set"),
                column("proteins_with_hit", pa.int64(), "proteins with a hit of at least 50 bits"),
            ]
        ),
    ),
    Table(
        "embeddings",
        "embed",
        "one gene whose protein has a vector in the embedding store",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                column("seq_key", pa.binary(32), "SHA-256 of the normalised protein: its key in the store"),
                column("store", pa.string(), "folder of the encoder's vectors below embed.store"),
            ]
        ),
    ),
    Table(
        "gene_reactions",
        "evidence",
        "one call of a gene for a reaction, also the rejected ones above the floor",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                REACTION,
                column("ec", TEXTS, "EC numbers that lead from the gene to the reaction"),
                column("probability", pa.float64(), "calibrated probability of the call"),
                column("log_odds", pa.float64(), "log-odds of the call"),
                column("none_of_these", pa.float64(), "probability that the gene does none of its proposed reactions"),
                column("decision", pa.string(), "accepted | rejected, with the reason"),
                column(
                    "conflict",
                    pa.string(),
                    "agree | same_ec3 | multifunctional | contradiction | only_unreviewed | single_source",
                ),
                column("independent_groups", pa.int16(), "groups of independent sources that support the call"),
                column("evidence", pa.list_(EVIDENCE_ITEM), "each source's say"),
            ]
        ),
    ),
    Table(
        "evidence_sources",
        "evidence",
        "what one source of evidence had to say of the genome, and what of it could not be used",
        pa.schema(
            [
                GENOME_ID,
                column("source", pa.string(), "letter of the source: D N E A U P"),
                column("origin", pa.string(), "tool, file or table that spoke"),
                column("version", pa.string(), "version of the source"),
                column("claims", pa.int64(), "claims that were used"),
                column("genes", pa.int64(), "genes that they are about"),
                column("rejected", pa.map_(pa.string(), pa.int64()), "what could not be used, and how often"),
                column("note", pa.string(), "what else is worth knowing, such as lost coverage"),
            ]
        ),
    ),
    Table(
        "dark_enzymes",
        "evidence",
        "one protein without database hit whose embedding lies near known enzymes",
        pa.schema(
            [
                GENOME_ID,
                column("gene_id", pa.string(), "the genome's gene"),
                column("neighbour", pa.string(), "nearest known enzyme"),
                column("distance", pa.float64(), "cosine distance of the embeddings"),
                REACTION,
                column("ec", TEXTS, "EC numbers of the neighbour"),
                column("probability", pa.float64(), "calibrated probability of the proposal"),
            ]
        ),
    ),
    Table(
        "draft_reactions",
        "draft",
        "one reaction of the universe that is in the draft or has evidence",
        pa.schema(
            [
                GENOME_ID,
                REACTION,
                column("score", pa.float64(), "score from the evidence; null where there is none"),
                column("normalized_score", pa.float64(), "score as the carving weighs it"),
                column("in_draft", pa.bool_(), "kept by the carving"),
                column("direction", pa.string(), "forward | reverse | both: how it can carry flux in the draft"),
                column("gpr", pa.string(), "gene rule; empty without evidence"),
                column("genes", TEXTS, "genes of the rule"),
                column(
                    "why",
                    pa.string(),
                    "evidence | growth | scored_reactions | spontaneous | reference | exchange | carveme",
                ),
                column("serves", TEXTS, "scored reactions that need a reaction without evidence"),
                column("frequency", pa.float64(), "share of the ensemble that holds it; null for a single draft"),
            ]
        ),
    ),
    Table(
        "drafts",
        "draft",
        "one row: how the carving went",
        pa.schema(
            [
                GENOME_ID,
                column("engine", pa.string(), "highs | carveme"),
                column("universe", pa.string(), "universe that was carved, with the changes of its biomass"),
                column("biomass", pa.string(), "biomass reaction, and what was changed in it"),
                column("score_sum", pa.float64(), "sum of scores, recomputed on the returned reactions"),
                column("score_bound", pa.float64(), "best bound known for the sum; null where none is known"),
                column("gap", pa.float64(), "bound minus sum over the bound"),
                column("method", pa.string(), "what produced the returned set"),
                column("rounds", pa.int32(), "rounds of linear programmes"),
                column("limit_fired", pa.string(), "limit that ended the search; empty where none did"),
                column("reactions", pa.int32(), "reactions kept"),
                column("reactions_without_evidence", pa.int32(), "kept without a score, but for exchange and biomass"),
                column("genes", pa.int32(), "genes in the rules"),
                column("growth_per_h", pa.float64(), "growth with all exchanges open", GROWTH),
            ]
        ),
    ),
    Table(
        "model_reactions",
        "gapfill",
        "one reaction of the filled model",
        pa.schema(
            [
                GENOME_ID,
                REACTION,
                column("origin", pa.string(), "draft | gapfill"),
                column("lower_bound", pa.float64(), "least flux, all exchanges open", FLUX),
                column("upper_bound", pa.float64(), "largest flux", FLUX),
                column("gpr", pa.string(), "gene rule; empty without evidence"),
            ]
        ),
    ),
    Table(
        "gapfills",
        "gapfill",
        "one reaction added so that the genome grows on a medium",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                REACTION,
                column("cost", pa.float64(), "what the addition cost in the fill's objective"),
                column("probability", pa.float64(), "calibrated probability from the evidence, where it has one"),
                column("candidate_genes", TEXTS, "genes with hits below the threshold for it"),
                column("unblocks", TEXTS, "biomass precursors that cannot be made without it"),
                column("frequency", pa.float64(), "share of alternative fills that hold it"),
                column("flags", TEXTS, "against_dg | breaks_cycle | vitamin"),
            ]
        ),
    ),
    Table(
        "fills",
        "gapfill",
        "one way of making the draft grow on a medium; rank 1 was taken and is what the figures are about",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                column("rank", pa.int32(), "1 for the cheapest, which was taken; more with an ensemble"),
                column("reactions", TEXTS, "what is added; nothing where the draft grows"),
                column("cost", pa.float64(), "sum of the additions' costs"),
                column("least_cost", pa.float64(), "least cost proven for the candidates looked at"),
                column("growth_per_h", pa.float64(), "growth of the model on the medium", "h^-1"),
                column("growth_half_carbon_per_h", pa.float64(), "the same with half the carbon sources", "h^-1"),
                column("growth_without_carbon_per_h", pa.float64(), "the same without carbon sources", "h^-1"),
                column("carbon_sources", TEXTS, "what the model takes carbon from, at most 20; vitamins do not count"),
                column("free_atp_draft", pa.float64(), "ATP that the draft makes from nothing", FLUX),
                column("cycle_draft", TEXTS, "reactions of a cycle behind it"),
                column("free_atp_model", pa.float64(), "ATP that the filled model makes from nothing", FLUX),
                column("cycle_model", TEXTS, "reactions of a cycle behind it"),
                column("flags", TEXTS, "grows_without_carbon | not_limited_by_carbon | free_energy"),
                column("limit_fired", pa.string(), "what ended the search before it was done; empty: nothing"),
            ]
        ),
    ),
    Table(
        "kcats",
        "kinetics",
        "one turnover number of a reaction in one direction by one enzyme",
        pa.schema(
            [
                GENOME_ID,
                REACTION,
                column("direction", pa.string(), "forward | reverse"),
                column("genes", TEXTS, "subunits of the enzyme"),
                column("log10_kcat", pa.float64(), "log10 of the turnover number", "log10(s^-1)"),
                column("log10_sd", pa.float64(), "standard deviation of log10_kcat", "log10(s^-1)"),
                column("kcat_per_s", pa.float64(), "turnover number", KCAT),
                column("tier", pa.string(), "user | measured | predicted | predicted_no_structure | ec_class | global"),
                column("source", pa.string(), "table, database or predictor, and what it had to go on"),
                column("source_version", pa.string(), "its version"),
                column("substrate", pa.string(), "BiGG metabolites that the value is for; empty where none is meant"),
            ]
        ),
    ),
    Table(
        "enzyme_costs",
        "kinetics",
        "the cost of one reaction in one direction",
        pa.schema(
            [
                GENOME_ID,
                REACTION,
                column("direction", pa.string(), "forward | reverse"),
                column("cost", pa.float64(), "protein mass per flux, cheapest enzyme", ENZYME_COST),
                column("genes", TEXTS, "subunits of the cheapest enzyme"),
                column("mass_g_per_mol", pa.float64(), "mass of the cheapest enzyme", MASS),
            ]
        ),
    ),
    Table(
        "ec_fba",
        "kinetics",
        "one flux of the enzyme-constrained model; the biomass reaction always",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                CONDITION,
                STATUS,
                REACTION,
                column("flux", pa.float64(), "net flux of the point estimate", FLUX),
                column("flux_p05", pa.float64(), "5 % quantile over the draws; null where none were made", FLUX),
                column("flux_median", pa.float64(), "median over the draws", FLUX),
                column("flux_p95", pa.float64(), "95 % quantile over the draws", FLUX),
                column("draws", pa.int32(), "draws with an optimal solution"),
            ]
        ),
    ),
    Table(
        "ec_fva",
        "kinetics",
        "one range of a net flux of the enzyme-constrained model",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                CONDITION,
                STATUS,
                REACTION,
                column("fraction", pa.float64(), "fraction of optimal growth that is kept"),
                column("minimum", pa.float64(), "least flux", FLUX),
                column("maximum", pa.float64(), "largest flux", FLUX),
            ]
        ),
    ),
    Table(
        "ec_summary",
        "kinetics",
        "one figure about the enzyme-constrained model",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                column("measure", pa.string(), "what was measured"),
                column("value", pa.float64(), "the figure"),
                column("unit", pa.string(), "its unit; empty for counts and shares"),
                column("flagged", pa.bool_(), "a person should look at it"),
                column("detail", pa.string(), "the enzymes or sources behind it"),
            ]
        ),
    ),
    Table(
        "ec_tuning",
        "kinetics",
        "one change that made the model grow as measured",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                column("what", pa.string(), "pool | kcat"),
                column("reaction", pa.string(), "reaction of a kcat; empty for the pool"),
                column("direction", pa.string(), "forward | reverse; empty for the pool"),
                column("genes", TEXTS, "subunits of the enzyme"),
                column("before", pa.float64(), "value before, in mg gDW^-1 or s^-1"),
                column("after", pa.float64(), "value after"),
                column("method", pa.string(), "least_pool | joint | map | annealing"),
                column("reason", pa.string(), "why it was changed"),
            ]
        ),
    ),
    Table(
        "summary",
        "simulate",
        "one row: the model at a glance",
        pa.schema(
            [
                GENOME_ID,
                column("universe", pa.string(), "universe of the model"),
                MEDIUM,
                STATUS,
                column("growth_per_h", pa.float64(), "growth on the genome's medium", GROWTH),
                column("grows", pa.bool_(), "growth is at or above the threshold of the config"),
                column("proteins", pa.int32(), "proteins of the genome"),
                column("reactions", pa.int32(), "reactions of the model, exchanges included"),
                column("metabolites", pa.int32(), "metabolites of the model"),
                column("genes", pa.int32(), "genes in the rules"),
                column("gapfilled", pa.int32(), "reactions added by gap-filling"),
                column("reactions_without_genes", pa.int32(), "internal reactions without a gene rule"),
                column(
                    "fva_median_width", pa.float64(), "median range of reactions not blocked; null without FVA", FLUX
                ),
                column("essential_genes", pa.int32(), "genes whose loss stops growth; null without knock-outs"),
                column("flags", TEXTS, "what a person should look at"),
            ]
        ),
    ),
    Table(
        "fba",
        "simulate",
        "one flux at optimal growth; where there is no optimum, one row for the biomass reaction with a null flux",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                CONDITION,
                STATUS,
                REACTION,
                column("kind", pa.string(), "biomass | exchange | internal"),
                column("flux", pa.float64(), "flux; negative through an exchange is uptake", FLUX),
            ]
        ),
    ),
    Table(
        "fva",
        "simulate",
        "one flux range",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                CONDITION,
                STATUS,
                REACTION,
                column("fraction", pa.float64(), "fraction of optimal growth that is kept"),
                column("minimum", pa.float64(), "least flux", FLUX),
                column("maximum", pa.float64(), "largest flux", FLUX),
                column("loopless", pa.bool_(), "cycles were excluded"),
            ]
        ),
    ),
    Table(
        "knockouts",
        "simulate",
        "one deletion",
        pa.schema(
            [
                GENOME_ID,
                MEDIUM,
                CONDITION,
                STATUS,
                column("kind", pa.string(), "gene | reaction | gene_pair"),
                column("target", pa.string(), "what was deleted; a pair is joined by a comma"),
                column("growth_per_h", pa.float64(), "growth without it", GROWTH),
                column("growth_ratio", pa.float64(), "growth over that of the intact model"),
                column("essential", pa.bool_(), "growth below the threshold of the config"),
            ]
        ),
    ),
    Table(
        "screens",
        "simulate",
        "one compound tried in one screen",
        pa.schema(
            [
                GENOME_ID,
                column("screen", pa.string(), "carbon | nitrogen | phosphorus | sulfur | auxotrophy | product"),
                column("compound", pa.string(), "BiGG metabolite id without compartment"),
                CONDITION,
                STATUS,
                column("growth_per_h", pa.float64(), "growth with the compound", GROWTH),
                column(
                    "growth_on_genes_per_h",
                    pa.float64(),
                    "the same for carbon, without reactions that no gene and no need on the genome's medium speak for",
                    GROWTH,
                ),
                column("flux", pa.float64(), "secretion, for products", FLUX),
                column(
                    "answer",
                    pa.string(),
                    "growth | no_growth | needed | not_needed | secreted | not_secreted | not_in_model | undecided",
                ),
                column("growth_score", pa.float64(), "graded evidence for growth on the compound"),
                column("weakest_links", TEXTS, "reactions that the score hangs on"),
            ]
        ),
    ),
    Table(
        "quality",
        "simulate",
        "one figure about the model",
        pa.schema(
            [
                GENOME_ID,
                column("measure", pa.string(), "what was measured"),
                column("value", pa.float64(), "the figure"),
                column("unit", pa.string(), "its unit; empty for counts and shares"),
                column("flagged", pa.bool_(), "a person should look at it"),
                column("detail", pa.string(), "the reactions or compounds behind it"),
            ]
        ),
    ),
]

TABLES: dict[str, Table] = {table.name: table for table in _DECLARED}

EMBEDDING_STORE = pa.schema(
    [
        column("seq_key", pa.binary(32), "SHA-256 of the normalised protein"),
        column("length", pa.int32(), "residues", "residue"),
        column("windows", pa.int16(), "windows that were averaged"),
        column("embedding", pa.list_(pa.float16()), "mean-pooled representation; fixed size in each store"),
        column("norm", pa.float32(), "Euclidean norm before the cast to float16"),
    ]
)

LEDGER = pa.schema(
    [
        GENOME_ID,
        column("stage", pa.string(), "name of the stage"),
        column("outcome", pa.string(), "ok | skipped_upstream | refused | failed | timeout | out_of_memory"),
        column("reason", pa.string(), "short reason; empty for ok"),
        column("detail", pa.string(), "what was expected, what was found, how to mend it"),
        column("seconds", pa.float64(), "wall time of the genome in this stage", "s"),
        column("peak_mb", pa.float64(), "largest resident memory of its worker", "MB"),
        column("key", pa.string(), "stage key: digest of everything that the result depends on"),
        column("versions", pa.string(), "versions of the tools that decide the result, JSON"),
        column("output", pa.string(), "what the keys of later stages hold: the key, unless a stage says less"),
    ]
)
