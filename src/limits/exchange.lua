-- One instance tells what it has spent of a limit, gives its lease back, and may take another one.
--
-- KEYS[1]  the limit: for each instance what it has spent and holds, as "moment:count" in a row
-- KEYS[2]  the instances, with the moment since which this Redis knows of limits
-- ARGV     instance, window, part of a window, life of a lease, pause after Redis came back empty,
--          limit, smallest and greatest lease; then age and count of what was spent
-- Answers the lease (-1: Redis is too young to know what others have spent), then age and count of
-- what others have spent and hold. Times are milliseconds by the clock of Redis.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me = ARGV[1]
local window, grain, life, pause = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local limit, need, want = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])

local mine, used = {}, 0
for i = 9, #ARGV, 2 do
    local count = tonumber(ARGV[i + 1])
    used = used + count
    mine[#mine + 1] = string.format('%.0f:%.0f', now - tonumber(ARGV[i]), count)
end

-- What others have within one part of the window is told as one, with the age of the youngest.
local others, parts = {}, {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    if all[i] ~= me then
        local counts = false
        for moment, count in string.gmatch(all[i + 1], '(%d+):(%d+)') do
            local age = now - tonumber(moment)
            count = tonumber(count)
            -- What lies further ahead than a lease lasts is from before the clock was set back.
            if age < window and age >= -life then
                counts = true
                used = used + count
                local part = math.floor(age / grain)
                local known = parts[part]
                if known then
                    others[known] = math.min(others[known], age)
                    others[known + 1] = others[known + 1] + count
                else
                    parts[part] = #others + 1
                    others[#others + 1] = age
                    others[#others + 1] = count
                end
            end
        end
        if not counts then
            redis.call('HDEL', KEYS[1], all[i])
        end
    end
end

local granted = 0
local born = tonumber(redis.call('HGET', KEYS[2], 'born'))
if need > 0 and (not born or now - born < pause) then
    granted = -1
elseif need > 0 and limit - used >= need then
    granted = math.min(want, limit - used)
    -- Until it is given back, it counts as spent when it ends.
    mine[#mine + 1] = string.format('%.0f:%.0f', now + life, granted)
end

if #mine > 0 then
    redis.call('HSET', KEYS[1], me, table.concat(mine, ' '))
    redis.call('PEXPIRE', KEYS[1], window + life)
else
    redis.call('HDEL', KEYS[1], me)
end

local answer = { string.format('%.0f', granted) }
for i = 1, #others do
    answer[i + 1] = string.format('%.0f', others[i])
end
return answer
