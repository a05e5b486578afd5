"""Evaluation: how well what the pipeline says agrees with what was measured in the laboratory.

Each entry takes a table of labels and genomes, runs the product's own stages over them in a project folder of its own,
and compares: `growth.py` growth on carbon sources. `metrics.py` holds the measures, `labels.py` reads the tables,
`project.py` runs the stages, `calls.py` turns what a model says into a call.
"""
