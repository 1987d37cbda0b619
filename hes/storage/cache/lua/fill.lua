-- Keep what the database says of meters, where the lease under which it was asked still stands:
-- whoever has published anything of such a meter meanwhile has broken it.
-- KEYS: state, then a key per meter. ARGV: generation, nonce, ttl_s, then per meter the number of
-- its channels, and per channel its id and value.
-- Returns: how many meters were kept.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
local kept, at = 0, 4
for i = 2, #KEYS do
    local count = tonumber(ARGV[at])
    if redis.call('HGET', KEYS[i], 'lease') == ARGV[2] then
        redis.call('DEL', KEYS[i])
        redis.call('HSET', KEYS[i], 'generation', ARGV[1])
        for j = at + 1, at + 2 * count, 2000 do
            redis.call('HSET', KEYS[i], unpack(ARGV, j, math.min(j + 1999, at + 2 * count)))
        end
        redis.call('EXPIRE', KEYS[i], ARGV[3])
        kept = kept + 1
    end
    at = at + 1 + 2 * count
end
return kept
