"""Kinetics: what fluxes cost in protein, in the tables `kcats`, `enzyme_costs`, `ec_fba`, `ec_fva` and a model file.

`costs.py` gene rules and turnover numbers to costs · `ecmodel.py` the constrained network and program.
"""
