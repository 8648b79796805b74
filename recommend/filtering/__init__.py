"""Filters in a request: a subset of CEL over attributes of items, people and requests, evaluated on columns."""

from recommend.filtering.errors import FilterError
from recommend.filtering.item_filter import ItemFilter, ItemFilters
from recommend.filtering.values import RequestValues

__all__ = ["FilterError", "ItemFilter", "ItemFilters", "RequestValues"]
