-- Keep what the database says of meters, where the lease under which it was asked still stands:
-- whoever has published anything of such a meter meanwhile has broken it.
-- KEYS: state, then a key per meter. ARGV: generation, nonce, ttl_s, and packed per meter the ids
-- and values of its channels in turn.
-- Returns: how many meters were kept.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
local kept, told = 0, cmsgpack.unpack(ARGV[4])
for i = 2, #KEYS do
    local fields = told[i - 1]
    if redis.call('HGET', KEYS[i], 'lease') == ARGV[2] then
        redis.call('DEL', KEYS[i])
        redis.call('HSET', KEYS[i], 'generation', ARGV[1])
        for j = 1, #fields, 2000 do
            redis.call('HSET', KEYS[i], unpack(fields, j, math.min(j + 1999, #fields)))
        end
        redis.call('EXPIRE', KEYS[i], ARGV[3])
        kept = kept + 1
    end
end
return kept
