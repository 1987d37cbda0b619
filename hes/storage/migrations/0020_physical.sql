-- The exact physical value raw * 10^scaler; hes.domain.readings.scaled is its twin.
CREATE FUNCTION physical(value int8, scaler int2) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN trim_scale(value * ('1e' || scaler::text)::numeric);
