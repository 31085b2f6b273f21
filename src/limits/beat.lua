-- An instance says that it is there.
--
-- KEYS[1]  the instances: when each was last seen, and `born`, since when this Redis knows of limits
-- ARGV     instance, how long an instance counts, how long all of it is kept; or only the instance,
--          which leaves
-- Answers how many instances there are, and the age of `born`. Times are milliseconds by the clock of
-- Redis.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if not ARGV[2] then
    redis.call('HDEL', KEYS[1], ARGV[1])
    return { 0, 0 }
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now))
redis.call('HSETNX', KEYS[1], 'born', string.format('%.0f', now))
local count, born = 0, now
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local moment = tonumber(all[i + 1])
    if all[i] == 'born' then
        born = moment
    elseif now - moment < tonumber(ARGV[2]) then
        count = count + 1
    else
        redis.call('HDEL', KEYS[1], all[i])
    end
end
-- The clock has been set back.
if born > now then
    redis.call('HSET', KEYS[1], 'born', string.format('%.0f', now))
    born = now
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { count, math.max(now - born, 0) }
