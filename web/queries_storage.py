"""What Postgres keeps, from its own catalogue. Raises `StoreDown`."""

from __future__ import annotations

from dataclasses import dataclass

from web.store import Store


@dataclass(frozen=True)
class Stored:
    """One table with all of its partitions and indexes. `rows` is Postgres' estimate, None before its first look."""

    table: str
    partitions: int
    bytes: int
    rows: int | None


_SIZES = """
SELECT root.relname, count(*) FILTER (WHERE leaf.relispartition),
       sum(pg_total_relation_size(leaf.oid))::bigint,
       CASE WHEN bool_and(leaf.reltuples < 0) THEN NULL ELSE sum(greatest(leaf.reltuples, 0))::bigint END
FROM pg_class root
CROSS JOIN LATERAL pg_partition_tree(root.oid) AS tree
JOIN pg_class leaf ON leaf.oid = tree.relid
WHERE root.relkind = 'p' AND NOT root.relispartition AND tree.isleaf
GROUP BY root.relname
UNION ALL
SELECT relname, 0, pg_total_relation_size(oid), CASE WHEN reltuples < 0 THEN NULL ELSE reltuples::bigint END
FROM pg_class
WHERE relkind = 'r' AND NOT relispartition AND relnamespace = 'public'::regnamespace AND relname !~ '^_?yoyo'
ORDER BY 3 DESC"""


def storage_summary(store: Store) -> list[Stored]:
    """Every table, the largest first; the partitions of one count together."""
    return [Stored(*row) for row in store.rows(_SIZES)]
