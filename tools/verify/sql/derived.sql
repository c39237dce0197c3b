-- Changes, shares, contributions and the balance, from counts. A figure without its base is not there.
CREATE OR REPLACE TABLE derived (freq VARCHAR, indicator VARCHAR, area VARCHAR, purpose VARCHAR, period VARCHAR, value DOUBLE);

CREATE OR REPLACE TEMP VIEW total AS
SELECT indicator, number, period, n FROM counted
WHERE freq = 'Q' AND area = '_T' AND purpose = '_T' AND category = '_T' AND n <> 0;

INSERT INTO derived
SELECT 'Q', now.indicator || '_CHANGE_' || name, '_T', '_T', now.period, 100.0 * (now.n - base.n) / base.n
FROM total now
JOIN (VALUES ('ARRIVALS', 'QOQ', 1), ('ARRIVALS', 'YOY', 4), ('DEPARTURES', 'QOQ', 1), ('DEPARTURES', 'YOY', 4),
             ('PERMITS_IN_FORCE', 'YOY', 4)) AS change (indicator, name, back) ON change.indicator = now.indicator
JOIN total base ON base.indicator = now.indicator AND base.number = now.number - back;

INSERT INTO derived
SELECT 'Q', c.indicator || '_SHARE', c.area, '_T', c.period, 100.0 * c.n / t.n
FROM counted c JOIN total t ON t.indicator = c.indicator AND t.number = c.number
WHERE c.indicator IN ('ARRIVALS', 'DEPARTURES') AND c.freq = 'Q' AND c.purpose = '_T' AND c.area NOT IN ('_T', 'EAEU');

INSERT INTO derived
SELECT 'Q', 'ARRIVALS_PURPOSE_SHARE', '_T', c.purpose, c.period, 100.0 * c.n / t.n
FROM counted c JOIN total t ON t.indicator = c.indicator AND t.number = c.number
WHERE c.indicator = 'ARRIVALS' AND c.freq = 'Q' AND c.area = '_T' AND c.purpose <> '_T';

-- Areas that had arrivals in either quarter, where both quarters have arrivals at all.
INSERT INTO derived
WITH arrival AS (
    SELECT number, area, n FROM counted
    WHERE indicator = 'ARRIVALS' AND freq = 'Q' AND purpose = '_T' AND area NOT IN ('_T', 'EAEU')
), change AS (
    SELECT number, area, n FROM arrival UNION ALL SELECT number + 1, area, -n FROM arrival
)
SELECT 'Q', 'ARRIVALS_CONTRIBUTION_QOQ', area, '_T', now.period, 100.0 * sum(change.n) / any_value(base.n)
FROM change
JOIN total now ON now.indicator = 'ARRIVALS' AND now.number = change.number
JOIN total base ON base.indicator = 'ARRIVALS' AND base.number = change.number - 1
GROUP BY area, now.period;

INSERT INTO derived
SELECT freq, 'BORDER_BALANCE', '_T', '_T', period, sum(CASE indicator WHEN 'ARRIVALS' THEN n ELSE -n END)
FROM counted
WHERE indicator IN ('ARRIVALS', 'DEPARTURES') AND freq IN ('Q', 'A') AND area = '_T' AND purpose = '_T'
GROUP BY freq, period;

INSERT INTO derived
SELECT freq, 'NET_MIGRATION', '_T', '_T', period, sum(CASE indicator WHEN 'RESIDENCE_ARRIVALS' THEN n ELSE -n END)
FROM counted
WHERE indicator IN ('RESIDENCE_ARRIVALS', 'RESIDENCE_DEPARTURES') AND area = '_T' AND purpose = '_T'
GROUP BY freq, period;

INSERT INTO derived
SELECT c.freq, 'RESIDENCE_PURPOSE_SHARE', '_T', c.purpose, c.period, 100.0 * c.n / t.n
FROM counted c JOIN counted t ON t.indicator = c.indicator AND t.period = c.period AND t.area = '_T' AND t.purpose = '_T'
WHERE c.indicator = 'RESIDENCE_ARRIVALS' AND c.area = '_T' AND c.purpose <> '_T';

-- Against the same quarter or year, some years before.
CREATE OR REPLACE MACRO years_before(period, years) AS CAST(CAST(left(period, 4) AS INTEGER) - years AS VARCHAR) || substr(period, 5);

INSERT INTO derived
SELECT now.freq, 'LABOUR_EMIGRATION_CHANGE_YOY', '_T', '_T', now.period, 100.0 * (now.n - base.n) / base.n
FROM counted now JOIN counted base
    ON base.indicator = now.indicator AND base.area = now.area AND base.period = years_before(now.period, 1)
WHERE now.indicator = 'LABOUR_EMIGRATION' AND now.area = '_T';

INSERT INTO derived
SELECT 'A', 'MEDICAL_VISITORS_RATIO_5Y', now.area, '_T', now.period, now.n / base.n
FROM counted now JOIN counted base
    ON base.indicator = now.indicator AND base.area = now.area AND base.period = years_before(now.period, 5)
WHERE now.indicator = 'MEDICAL_VISITORS' AND now.freq = 'A';
