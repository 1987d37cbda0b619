-- What is held of some meters, if it is settled, and a lease to fill in those that are not held.
-- KEYS: state, then a key per meter. ARGV: trust_ms, nonce, lease_ms.
-- Returns, packed: generation (or false: nothing here can be trusted), age of the settling in ms
-- (-1: none), then per meter the fields of its hash, or whether it may be filled under the nonce.
local state = redis.call('HMGET', KEYS[1], 'generation', 'settled_ms')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local age = -1
-- A settling that lies ahead tells that the clock was set back: nobody knows how old it is.
if state[2] and now + 1000 >= tonumber(state[2]) then age = math.max(0, now - state[2]) end
local trusted = state[1] and age >= 0 and age <= tonumber(ARGV[1])
local answer = {}
for i = 2, #KEYS do
    if not trusted then break end
    local generation = redis.call('HGET', KEYS[i], 'generation')
    if generation == state[1] then
        answer[i - 1] = redis.call('HGETALL', KEYS[i])
    else
        if generation then redis.call('DEL', KEYS[i]) end
        local leased = redis.call('HSETNX', KEYS[i], 'lease', ARGV[2]) == 1
        if leased then redis.call('PEXPIRE', KEYS[i], ARGV[3]) end
        answer[i - 1] = leased
    end
end
return cmsgpack.pack({trusted and state[1], age, answer})
