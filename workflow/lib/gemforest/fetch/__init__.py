"""Fetch: each row's source becomes a local, verified file in the table `genomes`.

`stage` is the stage itself; `datasets` and `assemblies` what NCBI knows and where it keeps files; `client`, `pacing`,
`download`, `cache`, `archives` how a file comes here whole and politely; `quality` what is not good enough; `gtdb` and
`resolve` how a query becomes a pinned list of genomes. The grammar of the sheet's sources is `gemforest.sources`.
"""

from gemforest.fetch.stage import STAGE, process

__all__ = ["STAGE", "process"]
