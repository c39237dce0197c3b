-- What stands, per kind: how many records are alike in all that a figure depends on.
CREATE TABLE crossing (direction VARCHAR, citizenship VARCHAR, counterpart VARCHAR, purpose VARCHAR, day DATE, n BIGINT);
CREATE TABLE permit (citizenship VARCHAR, category VARCHAR, first DATE, last DATE, n BIGINT);
CREATE TABLE enrolment (citizenship VARCHAR, level VARCHAR, branch VARCHAR, first DATE, last DATE, n BIGINT);
CREATE TABLE residence (direction VARCHAR, citizenship VARCHAR, counterpart VARCHAR, purpose VARCHAR, day DATE, n BIGINT);
CREATE TABLE emigration (destination VARCHAR, day DATE, n BIGINT);
CREATE TABLE stay (citizenship VARCHAR, kind VARCHAR, day DATE, n BIGINT);
CREATE TABLE offence (citizenship VARCHAR, kind VARCHAR, person VARCHAR, day DATE, n BIGINT);
CREATE TABLE reference (
    key VARCHAR, figure VARCHAR, period VARCHAR, value DOUBLE, unit VARCHAR, source VARCHAR, published_on VARCHAR,
    sample_size BIGINT, design_effect DOUBLE, counterpart VARCHAR, note VARCHAR, day DATE, n BIGINT);

-- By feed: net records that came so many days after their own.
CREATE TABLE reported (feed VARCHAR, flow VARCHAR, day DATE, late INTEGER, n BIGINT);
