-- What the contract says of single values, and which version of a record counts. `raw` (place, appended, key, value, problem) is one
-- partition in log order; each feed's file makes `judged` of it, and this file's last part `standing`.

CREATE OR REPLACE MACRO is_country(t) AS coalesce(regexp_full_match(t, '[A-Z]{2}'), false);

-- A written text: some characters, no control characters among them.
CREATE OR REPLACE MACRO is_text(t, longest) AS
    coalesce(length(t) BETWEEN 1 AND longest AND NOT regexp_matches(t, '[\x00-\x1f\x7f]'), false);

-- NULL unless it is a real date, written YYYY-MM-DD, not before 2000.
CREATE OR REPLACE MACRO real_day(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}') AND try_cast(t AS DATE) >= DATE '2000-01-01' THEN try_cast(t AS DATE) END;

-- A day on which something may happen or begin: not before 2000, and not so far ahead (the year 4870) that the engine cannot hold it.
-- The ingest services take nothing over a day ahead, so the second only concerns what was written past them.
CREATE OR REPLACE MACRO is_event_day(d) AS coalesce(d BETWEEN DATE '2000-01-01' AND DATE '2000-01-01' + 1048575, false);

CREATE OR REPLACE MACRO instant(t) AS
    CASE WHEN regexp_full_match(t, '[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z')
    THEN try_cast(rtrim(t, 'Z') AS TIMESTAMP) END;

-- The calendar day in Asia/Almaty of a UTC instant: UTC+6 with an hour more in the summers of 2000 to 2004, UTC+5 since 2024-03-01.
CREATE OR REPLACE MACRO local_day(utc) AS
    CAST(utc + to_hours(CASE
        WHEN utc >= TIMESTAMP '2024-02-29 18:00:00' THEN 5
        WHEN utc >= TIMESTAMP '2004-10-30 20:00:00' THEN 6
        WHEN utc >= TIMESTAMP '2000-03-25 20:00:00' AND utc < TIMESTAMP '2000-10-28 20:00:00'
          OR utc >= TIMESTAMP '2001-03-24 20:00:00' AND utc < TIMESTAMP '2001-10-27 20:00:00'
          OR utc >= TIMESTAMP '2002-03-30 20:00:00' AND utc < TIMESTAMP '2002-10-26 20:00:00'
          OR utc >= TIMESTAMP '2003-03-29 20:00:00' AND utc < TIMESTAMP '2003-10-25 20:00:00'
          OR utc >= TIMESTAMP '2004-03-27 20:00:00' THEN 7
        ELSE 6 END) AS DATE);

-- An integer 1 to 2^53 - 1 as JSON writes it, else NULL.
CREATE OR REPLACE MACRO whole(token) AS
    CASE WHEN regexp_full_match(token, '[1-9][0-9]{0,15}') AND CAST(token AS BIGINT) <= 9007199254740991 THEN CAST(token AS BIGINT) END;

-- A version; 0 stands in the log for what the agency sent without one.
CREATE OR REPLACE MACRO version_of(token) AS CASE WHEN token = '0' THEN 0 ELSE whole(token) END;

-- Why a record cannot be counted, or NULL: `fine` says whether all that counting needs is as the contract has it.
CREATE OR REPLACE MACRO verdict(problem, version, action, fine) AS
    CASE WHEN problem IS NOT NULL THEN problem
         WHEN version IS NOT NULL AND (action = 'withdraw' OR action = 'record' AND coalesce(fine, false)) THEN NULL
         ELSE 'invalid_record' END;
