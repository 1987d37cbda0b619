-- Tell what transactions have stored: to the latest values, and once per batch in the feed.
-- KEYS: state, published, feed, then a key per meter.
-- ARGV: latest_ttl_s, feed_ttl_s, feed_entries, published_ms, published_batches; packed, per meter
-- false (forget it) or per channel its id, the instant, and the rest of its value; then per batch
-- its id and its entry.
-- Returns: how many of the batches were not published before.
--
-- A meter that is not held, or only leased, is not begun here, since nobody knows what came before;
-- a lease on it is broken. Where something else is held for the same instant, only the database
-- can tell which of both is current: the meter is forgotten.
local generation = redis.call('HGET', KEYS[1], 'generation')
local told = cmsgpack.unpack(ARGV[6])
for i = 4, #KEYS do
    local new = told[i - 3]
    local held = new and generation and redis.call('HGET', KEYS[i], 'generation')
    local forget, put = not held or held ~= generation, {}
    for j = 1, new and #new or 0, 3 do
        if forget then break end
        local instant = tonumber(new[j + 1])
        local old = redis.call('HGET', KEYS[i], new[j])
        local captured, rest
        if old then
            local first = string.find(old, ':', 1, true)
            captured, rest = tonumber(string.sub(old, 1, first - 1)), string.sub(old, first + 3)
        end
        if not old or instant > captured then
            put[#put + 1] = new[j]
            put[#put + 1] = new[j + 1] .. ':0:' .. new[j + 2]
        elseif instant == captured and rest ~= new[j + 2] then
            forget = true
        end
    end
    if forget then
        redis.call('DEL', KEYS[i])
    else
        for j = 1, #put, 2000 do
            redis.call('HSET', KEYS[i], unpack(put, j, math.min(j + 1999, #put)))
        end
        redis.call('EXPIRE', KEYS[i], ARGV[1])
    end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local fresh = 0
for j = 7, #ARGV, 2 do
    if redis.call('ZADD', KEYS[2], 'NX', now, ARGV[j]) == 1 then
        redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[3], '*', 'entry', ARGV[j + 1])
        fresh = fresh + 1
    end
end
if fresh > 0 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[4])
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[5])
    redis.call('PEXPIRE', KEYS[2], ARGV[4])
    redis.call('EXPIRE', KEYS[3], ARGV[2])
end
return fresh
