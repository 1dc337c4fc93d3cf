"""Counting what was sent and received, where a provider told no usage: texts, pictures, functions, and what was learned.

`estimates` is what a meter holds; the rules of each family of models are data of `providers`.
"""
