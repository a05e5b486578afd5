"""Fetch: each row's source becomes a local, verified file in the table `genomes`.

`stage` is the stage itself; `sources` the grammar of the sheet's source column; `datasets` and `assemblies` what NCBI
knows and where it keeps files; `client`, `pacing`, `download`, `cache`, `archives` how a file comes here whole and
politely; `quality` what is not good enough; `gtdb` and `resolve` how a query becomes a pinned list of genomes.
"""

from gemforest.fetch.stage import STAGE, process

__all__ = ["STAGE", "process"]
