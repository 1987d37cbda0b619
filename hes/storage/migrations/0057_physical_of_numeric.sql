-- physical() of what no longer is an int8: sums.
CREATE FUNCTION physical(value numeric, scaler int2) RETURNS numeric
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN trim_scale(value * ('1e' || scaler::text)::numeric);
