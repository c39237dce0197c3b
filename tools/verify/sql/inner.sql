-- The inner cells of the quarter $period, and of its year if it is the fourth, out of the tables of counts.sql.
CREATE OR REPLACE TABLE inner_cell (
    freq VARCHAR, indicator VARCHAR, area VARCHAR, category VARCHAR, period VARCHAR, n BIGINT);

INSERT INTO inner_cell
SELECT 'Q', 'PERMITS_IN_FORCE', citizenship, category, $period, sum(n) FROM in_force WHERE quarter_label(number) = $period GROUP BY ALL
UNION ALL
SELECT 'Q', 'PERMITS_IN_FORCE', 'EAEU', category, $period, sum(n)
FROM in_force WHERE quarter_label(number) = $period AND citizenship IN ('AM', 'BY', 'KG', 'RU') GROUP BY ALL
UNION ALL
SELECT 'Q', 'PERMITS_ISSUED', citizenship, category, $period, sum(n)
FROM permit WHERE quarter_label(quarter_number(first)) = $period GROUP BY ALL
UNION ALL
SELECT 'A', 'PERMITS_ISSUED', citizenship, category, left($period, 4), sum(n)
FROM permit WHERE $period LIKE '%-Q4' AND CAST(year(first) AS VARCHAR) = left($period, 4) GROUP BY ALL
UNION ALL
SELECT 'Q', 'FOREIGN_STUDENTS', citizenship, level, $period, sum(n)
FROM enrolled WHERE quarter_label(number) = $period AND citizenship <> 'KZ' GROUP BY ALL;
