"""What a source says of a genome's genes: claims, one form for annotation files, users' tables and reviewed enzymes.

A claim is a gene and a target, which is a BiGG reaction or an EC number, with whatever the source knows of its
certainty. Sources with this interface (`annotation.py` A, `usertables.py` U, `enzymes.py` E) only read; what a claim is
worth is decided in `combine.py`. Source D speaks through its own candidates (`homologs.py`), of which it knows more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

from gemforest.errors import RefusedError
from gemforest.ledger import Reason

SOURCES = {
    "D": "homologs among BiGG's proteins",
    "E": "nearest reviewed enzymes with an EC number",
    "A": "annotation of the genome: GenBank, GFF3, eggNOG-mapper",
    "U": "users' tables",
    "P": "presence of the other subunits of a complex",
    "N": "nearest neighbours of the protein encoder",
}
"""Letters of `evidence.sources` and what they stand for."""

GROUPS = {"D": "homology", "E": "homology", "A": "homology", "P": "context", "N": "encoder"}
"""Sources that share ancestry are one group; each origin of users' tables (U) is one of its own."""


@dataclass(frozen=True)
class Claim:
    """One gene's target by one source.

    Attributes
    ----------
    gene
        Number of the gene in the genome's table `proteins`.
    target
        EC number as the source writes it, or BiGG reaction id without R_.
    origin, version
        The tool or table that spoke (`genbank`, `bakta`, a user's word), and its version.
    weight
        Share of the claim where one word stands for several targets.
    probability
        As the source gives it; None where it gives none.
    value
        Raw score, where the source has one.
    entry, identity_percent, query_coverage, target_coverage
        Database entry and alignment behind the claim, where there is one.
    """

    gene: int
    target: str
    source: str
    origin: str
    version: str
    weight: float = 1.0
    probability: float | None = None
    value: float | None = None
    entry: str = ""
    identity_percent: float | None = None
    query_coverage: float | None = None
    target_coverage: float | None = None

    @property
    def group(self) -> str:
        """Sources of one group share ancestry and count once."""
        return GROUPS.get(self.source, f"user:{self.origin}")


@dataclass(frozen=True)
class Heard:
    """What one source had to say of one genome.

    Attributes
    ----------
    rejected
        What could not be used, to how often: prose in an EC field, a target that BiGG does not know.
    """

    source: str
    origin: str
    version: str
    claims: tuple[Claim, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


class GeneNames:
    """The names under which annotation may know a genome's genes.

    Parameters
    ----------
    gene_ids, locus_tags
        Columns of the table `proteins`.
    descriptions
        First words of headers are no names; `locus_tag=…` and `protein_id=…` of NCBI's FASTA headers are.
    """

    def __init__(
        self, gene_ids: Sequence[str], locus_tags: Sequence[str | None] = (), descriptions: Sequence[str | None] = ()
    ) -> None:
        self.gene_ids = tuple(gene_ids)
        self._number: dict[str, int] = {}
        for names in (gene_ids, locus_tags):
            for number, name in enumerate(names):
                if name:
                    self._number.setdefault(name, number)
        for number, text in enumerate(descriptions):
            for name in _names_in(text or ""):
                self._number.setdefault(name, number)

    def find(self, names: Iterable[str]) -> int | None:
        """Number of the gene that the first known of `names` stands for."""
        for name in names:
            if name in self._number:
                return self._number[name]
        return None

    def refuse(self, what: str, theirs: str) -> RefusedError:
        """The error where no name matches: with an example of either side."""
        near = get_close_matches(theirs, self.gene_ids, 1, 0.6)
        ours = near[0] if near else self.gene_ids[0] if self.gene_ids else "none"
        return RefusedError(
            Reason.BAD_ANNOTATION,
            f"{what}: no gene of it is among the genome's proteins; there a gene is called {theirs!r}, here {ours!r}; "
            "annotate the file that the sheet names, or rename the genes",
        )


def _names_in(description: str) -> Iterable[str]:
    for part in description.split("["):
        key, _, value = part.partition("=")
        if key in ("locus_tag", "protein_id"):
            yield value.split("]")[0]
