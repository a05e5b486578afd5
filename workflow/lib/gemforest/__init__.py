"""gemforest: from genome collections to genome-scale metabolic models, one Parquet file per genome per table."""

__version__ = "0.1.0"
