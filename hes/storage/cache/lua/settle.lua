-- Note that whatever was committed before an instant is published.
-- KEYS: state. ARGV: generation, snapshot, settled_ms, state_ttl_s.
-- Returns: whether the generation still stands.
local state = redis.call('HMGET', KEYS[1], 'generation', 'settled_ms')
if state[1] ~= ARGV[1] then return 0 end
if tonumber(ARGV[3]) >= tonumber(state[2]) then
    redis.call('HSET', KEYS[1], 'snapshot', ARGV[2], 'settled_ms', ARGV[3])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
