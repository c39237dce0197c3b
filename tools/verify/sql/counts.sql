-- From what stands to counts per period. $now is the local day of the log's time; `span` (feed, first, last)
-- the first and last day of each feed's events.

CREATE OR REPLACE MACRO quarter_number(day) AS CAST(year(day) * 4 + quarter(day) - 1 AS INTEGER);
CREATE OR REPLACE MACRO quarter_label(number) AS CAST(number // 4 AS VARCHAR) || '-Q' || CAST(number % 4 + 1 AS VARCHAR);
CREATE OR REPLACE MACRO quarter_start(number) AS make_date(number // 4, number % 4 * 3 + 1, 1);

-- Every country with itself, the total and the groups that it belongs to.
CREATE OR REPLACE TABLE area AS
WITH country AS (SELECT citizenship AS c FROM crossing UNION SELECT counterpart FROM crossing
                 UNION SELECT citizenship FROM permit UNION SELECT citizenship FROM enrolment
                 UNION SELECT citizenship FROM residence UNION SELECT counterpart FROM residence
                 UNION SELECT destination FROM emigration UNION SELECT citizenship FROM stay UNION SELECT citizenship FROM offence)
SELECT c AS country, c AS area, 'country' AS kind FROM country
UNION ALL SELECT c, '_T', 'total' FROM country
UNION ALL SELECT c, 'CIS', 'group' FROM country WHERE c IN ('AM', 'AZ', 'BY', 'KG', 'MD', 'RU', 'TJ', 'TM', 'UZ')
UNION ALL SELECT c, 'EAEU', 'group' FROM country WHERE c IN ('AM', 'BY', 'KG', 'RU')
UNION ALL SELECT c, 'FAR_ABROAD', 'group' FROM country
    WHERE c NOT IN ('AM', 'AZ', 'BY', 'KG', 'MD', 'RU', 'TJ', 'TM', 'UZ', 'GE', 'UA', 'XX', 'KZ');

CREATE OR REPLACE TABLE flow AS
WITH move AS (
    SELECT CASE direction WHEN 'arrival' THEN 'ARRIVALS' ELSE 'DEPARTURES' END AS indicator,
        CASE direction WHEN 'arrival' THEN citizenship ELSE counterpart END AS country, purpose, day, n
    FROM crossing WHERE citizenship <> 'KZ'
    UNION ALL
    SELECT CASE direction WHEN 'arrival' THEN 'CITIZENS_IN' ELSE 'CITIZENS_OUT' END, counterpart, purpose, day, n
    FROM crossing WHERE citizenship = 'KZ'
    UNION ALL
    SELECT 'RESIDENCE_ARRIVALS', citizenship, purpose, day, n FROM residence WHERE direction = 'arrival'
    UNION ALL
    SELECT 'RESIDENCE_DEPARTURES', counterpart, purpose, day, n FROM residence WHERE direction = 'departure'
    UNION ALL
    SELECT 'LABOUR_EMIGRATION', destination, NULL, day, n FROM emigration
    UNION ALL
    SELECT CASE stay.kind WHEN 'guest' THEN 'FOREIGN_GUESTS' ELSE 'MEDICAL_VISITORS' END, citizenship, NULL, day, n FROM stay
)
SELECT indicator, area, kind, purpose, day, sum(n) AS n
FROM move JOIN area USING (country)
WHERE kind <> 'group' OR indicator IN ('ARRIVALS', 'DEPARTURES')
GROUP BY ALL;

-- All counts. `number` is the quarter's number where the period is a quarter.
CREATE OR REPLACE TABLE counted (
    freq VARCHAR, indicator VARCHAR, area VARCHAR, purpose VARCHAR, category VARCHAR, period VARCHAR, number INTEGER, n BIGINT);

-- Flows, by quarter and by year, by purpose for arrivals only.
INSERT INTO counted
WITH purposed AS (
    SELECT indicator, area, purpose, day, n FROM flow WHERE indicator IN ('ARRIVALS', 'RESIDENCE_ARRIVALS')
    UNION ALL SELECT indicator, area, '_T', day, n FROM flow
)
SELECT 'Q', indicator, area, purpose, '_T', quarter_label(quarter_number(day)), quarter_number(day), sum(n) FROM purposed GROUP BY ALL
UNION ALL
SELECT 'A', indicator, area, purpose, '_T', CAST(year(day) AS VARCHAR), NULL, sum(n) FROM purposed GROUP BY ALL;

-- Rolling quarters: the 91 days to each day from the 91st of the feed's data to its newest.
INSERT INTO counted
WITH daily AS (
    SELECT indicator, area, day, sum(n) AS n FROM flow
    WHERE indicator IN ('ARRIVALS', 'DEPARTURES') AND kind <> 'country' GROUP BY ALL
), ending AS (
    SELECT CAST(unnest(generate_series(CAST(first + 90 AS TIMESTAMP), CAST(last AS TIMESTAMP), INTERVAL 1 DAY)) AS DATE) AS day
    FROM span WHERE feed = 'border-crossings'
)
SELECT 'D', d.indicator, d.area, '_T', '_T', CAST(e.day AS VARCHAR), NULL, sum(d.n)
FROM ending e JOIN daily d ON d.day BETWEEN e.day - 90 AND e.day
GROUP BY ALL;

-- The ends of quarters at which stocks are taken: of the open quarter the newest past day.
CREATE OR REPLACE TABLE closing AS
SELECT feed, number, least(quarter_start(CAST(number + 1 AS INTEGER)) - 1, $now - 1) AS day
FROM (SELECT feed, unnest(range(quarter_number(first), quarter_number($now) + 1)) AS number FROM span WHERE first IS NOT NULL);

INSERT INTO counted
WITH issued AS (
    SELECT 'Q' AS freq, quarter_label(quarter_number(first)) AS period, quarter_number(first) AS number, citizenship, category, n
    FROM permit
    UNION ALL SELECT 'A', CAST(year(first) AS VARCHAR), NULL, citizenship, category, n FROM permit
)
SELECT freq, 'PERMITS_ISSUED', coalesce(citizenship, '_T'), '_T', coalesce(category, '_T'), period, number, sum(n)
FROM issued GROUP BY GROUPING SETS ((freq, period, number, citizenship), (freq, period, number, category), (freq, period, number));

CREATE OR REPLACE TABLE in_force AS
SELECT number, citizenship, category, sum(n) AS n
FROM permit JOIN closing ON feed = 'work-permits' AND first <= day AND last > day
GROUP BY ALL;

INSERT INTO counted
SELECT 'Q', 'PERMITS_IN_FORCE', coalesce(citizenship, '_T'), '_T', coalesce(category, '_T'), quarter_label(number), number, sum(n)
FROM in_force GROUP BY GROUPING SETS ((number, citizenship), (number, category), (number))
UNION ALL
SELECT 'Q', 'PERMITS_IN_FORCE', 'EAEU', '_T', '_T', quarter_label(number), number, sum(n)
FROM in_force WHERE citizenship IN ('AM', 'BY', 'KG', 'RU') GROUP BY number;

CREATE OR REPLACE TABLE enrolled AS
SELECT number, citizenship, level, branch, sum(n) AS n
FROM enrolment JOIN closing ON feed = 'student-enrolments' AND first <= day AND (last IS NULL OR last > day)
GROUP BY ALL;

INSERT INTO counted
SELECT 'Q', 'FOREIGN_STUDENTS', coalesce(citizenship, '_T'), '_T', coalesce(level, '_T'), quarter_label(number), number, sum(n)
FROM enrolled WHERE citizenship <> 'KZ' GROUP BY GROUPING SETS ((number, citizenship), (number, level), (number))
UNION ALL
SELECT 'Q', 'FOREIGN_BRANCHES', '_T', '_T', '_T', quarter_label(number), number, count(DISTINCT branch)
FROM enrolled WHERE branch IS NOT NULL GROUP BY number;

-- Over citizenships that need a permit: balance of employment-purpose crossings, each not below 0; the crossings it is made of; and
-- the permits in force; at the end of each quarter in which there is such a crossing.
CREATE OR REPLACE TABLE residual AS
WITH by_country AS (
    SELECT number, citizenship, sum(CASE direction WHEN 'arrival' THEN n ELSE -n END) AS balance, sum(n) AS crossings
    FROM crossing c JOIN closing e ON e.feed = 'border-crossings' AND c.day <= e.day
    WHERE purpose = 'employment' AND citizenship NOT IN ('KZ', 'AM', 'BY', 'KG', 'RU')
    GROUP BY ALL
)
SELECT number, sum(greatest(balance, 0)) AS balance, sum(crossings) AS crossings,
    coalesce((SELECT sum(n) FROM in_force f
              WHERE f.number = by_country.number AND citizenship NOT IN ('KZ', 'AM', 'BY', 'KG', 'RU')), 0) AS permits
FROM by_country GROUP BY number;

-- How many persons were found how often in a year at work without papers, by group of citizenships. A person is counted once.
CREATE OR REPLACE TABLE frequency AS
WITH found AS (
    SELECT year(day) AS year, area, person, sum(n) AS times
    FROM offence JOIN area ON country = citizenship
    WHERE offence.kind IN ('work_without_permit', 'work_without_contract') AND area.kind <> 'country'
    GROUP BY ALL
)
SELECT year, area, times, count(*) AS persons FROM found GROUP BY ALL;
