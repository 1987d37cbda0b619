-- Begin a generation: whatever is held of meters from before counts for nothing.
-- KEYS: state, feed. ARGV: the generation to replace ('': none), the new one, database, snapshot,
-- settled_ms, state_ttl_s, feed_ttl_s, feed_entries.
-- Returns: whether this was done; somebody else may have been quicker.
if (redis.call('HGET', KEYS[1], 'generation') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'generation', ARGV[2], 'database', ARGV[3], 'snapshot', ARGV[4],
    'settled_ms', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[6])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[8], '*', 'generation', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[7])
return 1
