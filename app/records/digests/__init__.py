"""Digests of ended calls: what lists, searches and statistics need, without reading timelines."""
